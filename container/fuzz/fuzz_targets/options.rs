//! See `src/options.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent_server_fuzz::options::run(data));
