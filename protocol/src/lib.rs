//! The types that cross a wire between the browser, the Worker, its Durable Objects and the
//! agent-server, and the rules for what may cross it.
//!
//! This crate knows nothing of Workers, of tokio or of a clock. Everything that comes from outside
//! goes through one of its `parse` functions, which answer with a [`Problem`] that a person can act
//! on.

pub mod client;
pub mod content;
pub mod diff;
pub mod egress;
pub mod event;
pub mod files;
pub mod id;
pub mod options;
pub mod permission;
pub mod problem;
pub mod repository;
pub mod sandbox;
pub mod terminal;

pub use client::ClientMessage;
pub use egress::EgressDecision;
pub use event::{Event, EventBody, Outcome, TurnState};
pub use id::{Owner, SessionId, TurnId};
pub use options::{ClaudeCodeOptions, PermissionMode, Turn};
pub use permission::{Answer, Behavior, Decision, Verdict};
pub use problem::{Problem, ProblemKind};
