//! A gateway between clients that speak Anthropic's Messages API or OpenAI's chat completions and the
//! providers that answer them.
//!
//! What the configuration says about a call's model decides where it goes. To a provider that speaks
//! the caller's dialect, Anthropic's or OpenAI's, its bytes pass through; to one that speaks the
//! other, request and answer are translated; and some models this router plays itself.
//!
//! Everything but the shell is free of I/O: [`serve::Router::serve`] takes a request and returns an
//! answer, or the request that is to be sent upstream together with what has to become of its
//! response. Randomness and the values of secrets come in as arguments. So the same code runs in a
//! Cloudflare Worker and in a test.
//!
//! Reading order: [`serve`] is the map; [`config`], [`route`] and [`providers`] find the deployment;
//! [`translate`] and [`chat`] hold the ways between the two dialects; [`reply`] is the only place
//! that writes answers, whoever has produced the content.

pub mod answer;
pub mod api;
pub mod attempts;
pub mod auth;
pub mod balance;
pub mod cache;
pub mod chat;
pub mod config;
pub mod controls;
pub mod count;
pub mod demo;
pub mod deployment;
pub mod error;
pub mod job;
mod json;
pub mod ledger;
mod malformed;
pub mod messages;
pub mod metrics;
pub mod mock;
pub mod models;
pub mod pass_through;
pub mod providers;
pub mod relay;
pub mod reply;
pub mod route;
pub mod serve;
pub mod spend;
pub mod sse;
pub mod translate;
pub mod upstream;
pub mod usage;
pub mod warnings;

#[cfg(target_arch = "wasm32")]
mod worker_shell;
