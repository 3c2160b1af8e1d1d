//! How much the model is to think, in the provider's words.

use super::wire::{ReasoningObject, ReasoningWords, ThinkingSwitch};
use crate::messages::MessagesRequest;
use crate::providers::Reasoning;

/// Below this budget of tokens an effort is low, below the next it is medium. Claude Code's own steps
/// are 4,000, 10,000 and 31,999.
const LOW_BELOW: u64 = 4_096;
const MEDIUM_BELOW: u64 = 16_384;
/// The least budget that Anthropic takes.
const LEAST_BUDGET: u64 = 1_024;

/// What the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    /// `None` where the caller has not said.
    on: Option<bool>,
    effort: Option<&'static str>,
    budget: Option<u64>,
}

impl Wish {
    pub(super) fn of(request: &MessagesRequest) -> Self {
        let config = request.output_config.as_ref();
        let effort = config.and_then(|config| {
            ["low", "medium", "high", "xhigh", "max"]
                .into_iter()
                .find(|effort| *effort == config.effort)
        });
        let thinking = request.thinking.as_ref();
        Self {
            on: thinking.map(|thinking| thinking.kind != "disabled"),
            effort,
            budget: thinking
                .filter(|thinking| thinking.kind == "enabled")
                .and_then(|thinking| thinking.budget_tokens),
        }
    }

    /// Whether the caller has said that the model is not to think.
    pub(super) fn is_off(self) -> bool {
        self.on == Some(false)
    }

    /// The effort, by its name or by the budget.
    fn level(self) -> Option<&'static str> {
        self.effort.or_else(|| {
            Some(match self.budget? {
                budget if budget < LOW_BELOW => "low",
                budget if budget < MEDIUM_BELOW => "medium",
                _ => "high",
            })
        })
    }

    /// The same in a provider's words. `limit` is the limit on the whole answer's tokens.
    pub(super) fn in_words(self, reasoning: Reasoning, limit: Option<u64>) -> ReasoningWords {
        match reasoning {
            Reasoning::Unsaid => ReasoningWords::default(),
            Reasoning::Effort {
                off,
                low,
                medium,
                high,
            } => ReasoningWords {
                reasoning_effort: if self.is_off() {
                    Some(off)
                } else {
                    self.level().map(|level| match level {
                        "low" => low,
                        "medium" => medium,
                        _ => high,
                    })
                },
                ..ReasoningWords::default()
            },
            Reasoning::Object { mandatory } => ReasoningWords {
                reasoning: self.as_object(mandatory, limit),
                ..ReasoningWords::default()
            },
            Reasoning::Switch { effort } => ReasoningWords {
                thinking: self.on.map(|on| ThinkingSwitch {
                    kind: if on { "enabled" } else { "disabled" },
                }),
                reasoning_effort: self.level().filter(|_| effort && !self.is_off()),
                ..ReasoningWords::default()
            },
        }
    }

    fn as_object(self, mandatory: bool, limit: Option<u64>) -> Option<ReasoningObject> {
        let effort = |effort| {
            Some(ReasoningObject {
                effort: Some(effort),
                ..ReasoningObject::default()
            })
        };
        let enabled = |enabled| {
            Some(ReasoningObject {
                enabled: Some(enabled),
                ..ReasoningObject::default()
            })
        };
        match (self.on?, self.effort, self.budget) {
            (false, _, _) if mandatory => effort("low"),
            (false, _, _) => enabled(false),
            (true, Some("max"), _) => effort("xhigh"),
            (true, Some(level), _) => effort(level),
            (true, None, None) => enabled(true),
            (true, None, Some(budget)) => {
                // The answer needs room beside the thinking; a budget that leaves none is refused.
                let room = limit.map_or(budget, |limit| limit.saturating_sub(LEAST_BUDGET));
                match budget.min(room) {
                    budget if budget >= LEAST_BUDGET => Some(ReasoningObject {
                        max_tokens: Some(budget),
                        ..ReasoningObject::default()
                    }),
                    _ => effort("low"),
                }
            }
        }
    }
}
