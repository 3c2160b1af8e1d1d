//! What an answer's translation has to know of the request.

use super::names::ToolNames;

/// Comes out of [`super::request::translate`] and goes into [`super::completion::Terms`].
#[derive(Debug, Default)]
pub struct Asked {
    pub tools: ToolNames,
    /// The model upstream, as `provider/model`: reasoning that only it can read is kept for it alone.
    pub model: String,
}
