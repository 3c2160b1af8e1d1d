//! Anthropic Messages to OpenAI chat completions and back.
//!
//! [`request`] turns a request; [`stream`] turns a provider's events while they come and
//! [`response`] a whole answer, both through [`completion`], which knows what a provider may say.
//! [`asked`] is what the way back needs of the way there.

pub mod asked;
pub mod completion;
pub mod names;
pub mod request;
pub mod response;
pub mod schema;
pub mod stream;
mod tool_calls;

#[cfg(test)]
mod tests;
