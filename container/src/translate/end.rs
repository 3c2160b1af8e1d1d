//! How a turn ended.

use protocol::ProblemKind;
use protocol::event::{EventBody, Outcome, Usage, cut};
use protocol::sandbox::TurnEnd;

use crate::wire::{ModelUsage, TurnResult};

/// Bytes of a cause.
const MAX_CAUSE: usize = 2000;

/// Why a turn failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub code: String,
    pub content: String,
}

impl Cause {
    pub fn new(kind: ProblemKind, content: impl Into<String>) -> Self {
        Self {
            code: kind.code().to_owned(),
            content: content.into(),
        }
    }

    pub fn event(&self) -> EventBody {
        EventBody::Error {
            content: self.content.clone(),
            code: self.code.clone(),
        }
    }

    pub fn end(self, model: Option<String>) -> TurnEnd {
        TurnEnd {
            outcome: Outcome::Failed,
            content: self.content,
            model,
            usage: None,
        }
    }
}

impl TurnResult {
    /// Why the turn failed, if it did. `model_host` is the address that Claude Code calls the model
    /// at: it is told in some causes, and is nobody's business.
    pub fn cause(&self, model_host: &str) -> Option<Cause> {
        if !self.is_error {
            return None;
        }
        if self.subtype == "error_max_turns" {
            return Some(Cause::new(
                ProblemKind::MaxTurns,
                "The turn took as many calls of the model as it may (maxTurns). Send another message to go on.",
            ));
        }
        let told = match &self.result {
            Some(result) if !result.is_empty() => result.clone(),
            _ => self
                .errors
                .iter()
                .filter(|error| !error.starts_with("[ede_diagnostic]"))
                .cloned()
                .collect::<Vec<_>>()
                .join("; "),
        };
        let mut told = told
            .split(" If it persists, check your inference gateway")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        if !model_host.is_empty() {
            told = told.replace(model_host, "the router");
        }
        if told.is_empty() {
            told = match self.api_error_status {
                Some(status) => format!("The model's provider answered {status}"),
                None => "Claude Code ended the turn without saying why".to_owned(),
            };
        }
        let gone = cut(&mut told, MAX_CAUSE);
        if gone > 0 {
            told.push('…');
        }
        let of_model =
            self.api_error_status.is_some() || self.terminal_reason.as_deref() == Some("api_error");
        let kind = if of_model {
            ProblemKind::ModelFailed
        } else {
            ProblemKind::SandboxFailed
        };
        Some(Cause::new(kind, told))
    }

    /// What the turn took. Not what it cost: Claude Code reckons with Claude's prices, whatever model
    /// answers.
    pub fn usage(&self) -> Usage {
        let duration_ms = if self.duration_ms.is_finite() && self.duration_ms > 0.0 {
            self.duration_ms as u64
        } else {
            0
        };
        let base = Usage {
            input_tokens: self.usage.input_tokens,
            output_tokens: self.usage.output_tokens,
            cache_read_input_tokens: self.usage.cache_read_input_tokens,
            cache_creation_input_tokens: self.usage.cache_creation_input_tokens,
            cost_usd: None,
            duration_ms,
            num_turns: self.num_turns,
        };
        // With sub-agents, and of this turn alone; older releases leave it out.
        let Some(models) = &self.model_usage_since_last_result else {
            return base;
        };
        let sum = |count: fn(&ModelUsage) -> u64| {
            models.values().map(count).fold(0_u64, u64::saturating_add)
        };
        Usage {
            input_tokens: sum(|model| model.input_tokens),
            output_tokens: sum(|model| model.output_tokens),
            cache_read_input_tokens: sum(|model| model.cache_read_input_tokens),
            cache_creation_input_tokens: sum(|model| model.cache_creation_input_tokens),
            ..base
        }
    }
}

/// The end of a turn from Claude Code's result, and the error to show before it.
pub fn end_of(
    result: &TurnResult,
    interrupted: bool,
    model: Option<String>,
    model_host: &str,
) -> (Option<EventBody>, TurnEnd) {
    let usage = Some(result.usage());
    let end = |outcome, content: String| TurnEnd {
        outcome,
        content,
        model: model.clone(),
        usage,
    };
    if interrupted && result.is_error {
        return (None, end(Outcome::Interrupted, "Interrupted".to_owned()));
    }
    match result.cause(model_host) {
        None => (None, end(Outcome::Completed, "Completed".to_owned())),
        Some(cause) => (Some(cause.event()), end(Outcome::Failed, cause.content)),
    }
}
