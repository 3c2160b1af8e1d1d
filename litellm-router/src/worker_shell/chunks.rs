//! A body that is read while it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use worker::wasm_bindgen::JsCast;
use worker::{js_sys, web_sys};

use super::promise::Promised;
use crate::relay::Broken;

/// The chunks of a stream of JavaScript.
pub struct Chunks {
    /// None at the end.
    reader: Option<web_sys::ReadableStreamDefaultReader>,
    read: Promised,
}

impl Chunks {
    /// Nobody else reads this stream.
    pub fn of(stream: &web_sys::ReadableStream) -> Self {
        Self {
            reader: Some(stream.get_reader().unchecked_into()),
            read: Promised::new(),
        }
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(reader) = &self.reader else {
            return Poll::Ready(None);
        };
        if !self.read.has_begun() {
            self.read.begin(&reader.read());
        }
        let Ok(read) = ready!(self.read.poll(context)) else {
            self.reader = None;
            return Poll::Ready(Some(Err(Broken)));
        };
        let read: js_sys::IteratorNext = read.unchecked_into();
        if read.done() {
            self.reader = None;
            return Poll::Ready(None);
        }
        let chunk: js_sys::Uint8Array = read.value().unchecked_into();
        Poll::Ready(Some(Ok(chunk.to_vec().into())))
    }
}
