//! See `src/passed_through.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| litellm_router_fuzz::passed_through::run(data));
