//! See `src/archive.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent_server_fuzz::archive::run(data));
