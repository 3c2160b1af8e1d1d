//! See `src/request.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| litellm_router_fuzz::request::run(data));
