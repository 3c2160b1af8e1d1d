//! Anthropic Messages to OpenAI chat completions and back.
//!
//! [`request`] turns a request; [`stream`] turns a provider's events while they come and
//! [`response`] a whole answer, both through [`completion`], which knows what a provider may say.
//! [`asked`] is what the way back needs of the way there. [`from_messages`] reads an answer in
//! Anthropic's dialect, for callers who speak the other; [`incoming`] is what both have in common.

mod arguments;
pub mod asked;
mod chunk;
pub mod completion;
mod failed_generation;
pub mod from_messages;
mod ids;
pub mod incoming;
pub mod names;
pub mod reasoning;
pub mod request;
pub mod response;
pub mod schema;
mod stops;
pub mod stream;
mod think_tag;
mod tool_calls;
pub(crate) mod usage;

#[cfg(test)]
mod tests;
