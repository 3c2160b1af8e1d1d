//! A response body that is written over time.

#![allow(unsafe_code)] // wasm_bindgen's imports are.

use std::future::poll_fn;

use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};
use worker::{Result, js_sys, wasm_bindgen_futures::JsFuture, web_sys};

use super::promise::Promised;

#[wasm_bindgen]
extern "C" {
    /// The runtime's own stream, which JavaScript does nothing for.
    #[wasm_bindgen(extends = web_sys::TransformStream)]
    type IdentityTransformStream;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> std::result::Result<IdentityTransformStream, JsValue>;
}

/// The way from this code to the client: the runtime's own stream, whose write waits until the
/// client has taken what was written before, and fails when the client has left.
pub struct Pipe {
    writer: web_sys::WritableStreamDefaultWriter,
    write: Promised,
}

impl Pipe {
    /// A pipe and the end that goes into the response.
    pub fn new() -> Result<(Self, web_sys::ReadableStream)> {
        let stream = IdentityTransformStream::new()?;
        let pipe = Self {
            writer: stream.writable().get_writer()?,
            write: Promised::new(),
        };
        Ok((pipe, stream.readable()))
    }

    /// Sends some bytes when the client has taken those before, and does not wait until it has taken
    /// these; an error means that the client has left.
    pub async fn write(&self, bytes: &[u8]) -> std::result::Result<(), JsValue> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.taken().await?;
        let chunk = js_sys::Uint8Array::from(bytes);
        self.write.begin(&self.writer.write_with_chunk(&chunk));
        Ok(())
    }

    /// Waits until the client has taken what was written.
    async fn taken(&self) -> std::result::Result<(), JsValue> {
        if self.write.has_begun() {
            poll_fn(|context| self.write.poll(context)).await?;
        }
        Ok(())
    }

    /// Ends the body.
    pub async fn close(&self) {
        // Fails when the client has left, and then there is nothing to close.
        if self.taken().await.is_ok() {
            let _ = JsFuture::from(self.writer.close()).await;
        }
    }
}
