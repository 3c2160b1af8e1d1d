//! The second door: OpenAI's chat completions, for clients that speak only that.
//!
//! A provider that speaks it too gets the caller's bytes, with only the model's name replaced. For
//! the others, [`request`] turns the call into a Messages request, which then goes the way of every
//! other, and [`reply`] writes what comes back.

pub mod reply;
pub mod request;
