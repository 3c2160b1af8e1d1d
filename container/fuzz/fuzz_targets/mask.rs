//! See `src/mask.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent_server_fuzz::mask::run(data));
