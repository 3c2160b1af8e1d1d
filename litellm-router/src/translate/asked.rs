//! What an answer's translation has to know of the request.

use super::names::ToolNames;

/// Comes out of [`super::request::translate`] and goes into [`super::completion::Terms`].
#[derive(Debug, Default)]
pub struct Asked {
    pub tools: ToolNames,
    /// The stop sequences that were sent.
    pub stops: Vec<String>,
    /// The others, which the provider does not take.
    pub own_stops: Vec<String>,
    /// The model upstream, as `provider/model`, if it has to get back the reasoning that only it can
    /// read; `None` where that reasoning is of no further use.
    pub reasoning_for: Option<String>,
}
