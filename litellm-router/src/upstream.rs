//! The request that goes to a provider, and what becomes of its response.

use crate::auth::Credential;
use crate::error::Refusal;
use crate::messages::MessagesRequest;
use crate::providers::Provider;
use crate::reply::Identity;

/// Where a call goes, with whose key.
pub struct Target {
    pub provider: &'static Provider,
    pub model: String,
    pub api_base: String,
    pub credential: Option<Credential>,
    pub extra_headers: Vec<(String, String)>,
    pub timeout_s: Option<f64>,
    pub stream_timeout_s: Option<f64>,
    pub max_output_tokens: Option<u64>,
}

/// A request for a provider.
pub struct Exchange {}

impl Exchange {
    pub fn message(
        _target: Target,
        _request: &MessagesRequest,
        _body: &[u8],
        _header: &dyn Fn(&str) -> Option<String>,
        _identity: Identity,
    ) -> Result<Self, Refusal> {
        Err(Refusal::new(503, "providers are not connected yet"))
    }
    pub fn count(
        _target: Target,
        _body: &[u8],
        _header: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Refusal> {
        Err(Refusal::new(503, "providers are not connected yet"))
    }
}
