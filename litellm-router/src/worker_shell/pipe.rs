//! A response body that is written over time.

use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{Result, js_sys, wasm_bindgen_futures::JsFuture, web_sys};

/// The way from this code to the client: the runtime's own stream, whose write waits until the
/// client has taken what was written before, and fails when the client has left.
pub struct Pipe {
    writer: web_sys::WritableStreamDefaultWriter,
}

impl Pipe {
    /// A pipe and the end that goes into the response.
    pub fn new() -> Result<(Self, web_sys::ReadableStream)> {
        let class = js_sys::Reflect::get(&js_sys::global(), &"IdentityTransformStream".into())?;
        let class: js_sys::Function = class.dyn_into()?;
        let made = js_sys::Reflect::construct(&class, &js_sys::Array::new())?;
        let stream: web_sys::TransformStream = made.unchecked_into();
        let writer = stream.writable().get_writer()?;
        Ok((Self { writer }, stream.readable()))
    }

    /// Sends some bytes; an error means that the client has left.
    pub async fn write(&self, bytes: &[u8]) -> std::result::Result<(), JsValue> {
        if bytes.is_empty() {
            return Ok(());
        }
        let chunk = js_sys::Uint8Array::from(bytes);
        JsFuture::from(self.writer.write_with_chunk(&chunk)).await?;
        Ok(())
    }

    /// Ends the body.
    pub async fn close(&self) {
        // Fails when the client has left, and then there is nothing to close.
        let _ = JsFuture::from(self.writer.close()).await;
    }
}
