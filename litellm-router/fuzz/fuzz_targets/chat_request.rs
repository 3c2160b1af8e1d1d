//! See `src/chat_request.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| litellm_router_fuzz::chat_request::run(data));
