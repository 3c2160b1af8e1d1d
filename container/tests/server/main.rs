//! The built server with the real Claude Code. Only the model is scripted.

// clippy.toml allows these in tests, but not in what tests share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod asks;
mod diffs;
mod direct;
mod egress;
mod failures;
mod files;
mod host;
mod interrupts;
mod isolation;
mod launches;
mod repository;
mod saves;
mod secrets;
mod tool_servers;
mod turns;
mod upstream;
mod world;
