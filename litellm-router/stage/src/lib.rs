//! What both shells of the router are tried with: providers that do what a test wants, and the SDKs
//! that people use.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod providers;
pub mod sdks;

pub use providers::{Script, Sent, Stage, chunk};
