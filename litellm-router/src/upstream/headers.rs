//! The headers of a provider's response that go on to the caller.

use super::Header;
use crate::error;

/// The headers of Anthropic's response that its clients read.
pub(super) fn relayed(header: Header) -> Vec<(String, String)> {
    const RELAYED: [&str; 8] = [
        "content-type",
        "cache-control",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "anthropic-organization-id",
        "anthropic-version",
    ];
    const LIMITS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];
    let limits = LIMITS.iter().flat_map(|what| {
        ["limit", "remaining", "reset"].map(|value| format!("anthropic-ratelimit-{what}-{value}"))
    });
    RELAYED
        .iter()
        .map(|name| (*name).to_owned())
        .chain(limits)
        .filter_map(|name| {
            let value = header(&name)?;
            Some((name, value))
        })
        .collect()
}

/// The headers of a chat provider's response that its clients read. Its own request id has another
/// name here, because the router's has that one.
pub(super) fn relayed_of_a_chat(header: Header) -> Vec<(String, String)> {
    let limits = ["limit", "remaining", "reset"]
        .iter()
        .flat_map(|value| ["requests", "tokens"].map(|what| format!("x-ratelimit-{value}-{what}")));
    let mut headers = error::kept_headers(header);
    headers.extend(
        ["content-type", "cache-control"]
            .map(str::to_owned)
            .into_iter()
            .chain(limits)
            .filter_map(|name| {
                let value = header(&name)?;
                Some((name, value))
            }),
    );
    headers
}
