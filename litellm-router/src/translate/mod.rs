//! Anthropic Messages to OpenAI chat completions and back.
//!
//! [`request`] turns a request; [`stream`] turns a provider's events while they come and
//! [`response`] a whole answer, both through [`completion`], which knows what a provider may say.
//! [`asked`] is what the way back needs of the way there.
//! [`from_messages`] reads an answer in
//! Anthropic's dialect, for callers who speak the other; [`incoming`] is what both have in common.

pub mod asked;
pub mod completion;
pub mod from_messages;
pub mod incoming;
pub mod names;
pub mod request;
pub mod response;
pub mod schema;
pub mod stream;
mod tool_calls;

#[cfg(test)]
mod tests;
