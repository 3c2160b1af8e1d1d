//! See `src/chat_stream.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| litellm_router_fuzz::chat_stream::run(data));
