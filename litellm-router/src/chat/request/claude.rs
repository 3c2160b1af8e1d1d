//! What the generations of Claude take, read from a model's name.
//!
//! OpenAI's one `reasoning_effort` is said in two ways: up to 4.5 as a budget of tokens, from 4.6 on
//! as adaptive thinking with an effort, and from 4.7 on the budget is refused
//! (<https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>,
//! <https://platform.claude.com/docs/en/build-with-claude/effort>). From 4.7 on the parameters of
//! sampling are refused too
//! (<https://platform.claude.com/docs/en/about-claude/models/migration-guide>).

/// What Anthropic's API needs and OpenAI's does not: the most tokens of an answer that names no
/// limit. Every model of Anthropic's can write that many, and LiteLLM has the same number.
pub const DEFAULT_MAX_TOKENS: u64 = 4_096;
/// What is left for the answer when the caller's own limit has to hold the thinking as well.
const LEAST_ANSWER: u64 = 1_024;
/// The smallest budget that Anthropic takes.
const LEAST_BUDGET: u64 = 1_024;

/// OpenAI's efforts, Anthropic's in the newer models, and the tokens for thinking: the budget itself
/// in older models, and in all of them the room that is added to a limit of our own.
const EFFORTS: [(&str, &str, u64); 6] = [
    ("minimal", "low", 1_024),
    ("low", "low", 2_048),
    ("medium", "medium", 8_192),
    ("high", "high", 16_384),
    ("xhigh", "xhigh", 24_576),
    ("max", "max", 31_999),
];
/// Room for thinking that nobody asked for: models from 5 on do it by themselves.
const UNASKED_ROOM: u64 = 8_192;

/// A model as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claude {
    /// `None` for a model that is not Claude but answers in Anthropic's dialect. Such servers know
    /// the older form of each parameter.
    version: Option<(u32, u32)>,
}

/// How a model is to think, and what of the limit follows from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Thinking {
    pub form: Form,
    pub effort: Option<&'static str>,
    pub max_tokens: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The request does not speak of it.
    #[default]
    Unsaid,
    Disabled,
    Adaptive,
    Budget(u64),
}

impl Claude {
    /// Reads `claude-sonnet-4-5-20250929`, `claude-3-7-sonnet-latest`, `anthropic/claude-4.6-opus`
    /// and the like. A name without a number counts as the newest.
    pub fn of(model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        let Some((_, name)) = model.split_once("claude") else {
            return Self { version: None };
        };
        let mut words = name
            .split(|c: char| !c.is_ascii_alphanumeric())
            // A date is longer than a version.
            .map(|word| word.parse::<u32>().ok().filter(|number| *number < 100))
            .skip_while(Option::is_none);
        let major = words.next().flatten().unwrap_or(u32::MAX);
        let minor = words.next().flatten().unwrap_or(0);
        Self {
            version: Some((major, minor)),
        }
    }

    fn is_at_least(self, major: u32, minor: u32) -> bool {
        self.version
            .is_some_and(|version| version >= (major, minor))
    }

    /// Whether temperature and top_p may be said.
    pub fn takes_sampling(self) -> bool {
        !self.is_at_least(4, 7)
    }

    /// Whether temperature and top_p may both be said.
    pub fn takes_both_of_sampling(self) -> bool {
        self.version.is_none()
    }

    /// Whether it can be held to a JSON schema (`output_config.format`).
    pub fn takes_format(self) -> bool {
        self.is_at_least(4, 1)
    }

    /// Whether a turn of tool calls must begin with the thinking that led to them, if the model is
    /// to think on.
    pub fn wants_past_thinking(self) -> bool {
        !self.is_at_least(4, 6)
    }

    /// How the model is to think, when OpenAI's `effort` is asked for and the answer may have
    /// `limit` tokens, its thinking included. `allowed` is false where the request rules thinking
    /// out: a forced tool, a past turn without its thinking.
    pub fn thinking(self, effort: Option<&str>, limit: Option<u64>, allowed: bool) -> Thinking {
        let known = EFFORTS.iter().find(|(name, ..)| Some(*name) == effort);
        let unasked = if self.is_at_least(5, 0) {
            UNASKED_ROOM
        } else {
            0
        };
        let plain = Thinking {
            max_tokens: limit.unwrap_or(DEFAULT_MAX_TOKENS + unasked),
            ..Thinking::default()
        };
        let Some((_, level, room)) = known else {
            let off = effort == Some("none") && self.is_at_least(5, 0);
            return Thinking {
                form: if off { Form::Disabled } else { Form::Unsaid },
                ..plain
            };
        };
        if self.is_at_least(4, 6) {
            let level = match *level {
                // Came with 4.7.
                "xhigh" | "max" if !self.is_at_least(4, 7) => "high",
                level => level,
            };
            return Thinking {
                form: if allowed {
                    Form::Adaptive
                } else {
                    Form::Unsaid
                },
                effort: Some(level),
                max_tokens: limit.unwrap_or(DEFAULT_MAX_TOKENS + room),
            };
        }
        // A caller's limit is also what the call may cost, so the thinking has to fit into it.
        let budget = limit.map_or(*room, |limit| {
            (*room).min(limit.saturating_sub(LEAST_ANSWER))
        });
        let can_think = self.version.is_none() || self.is_at_least(3, 7);
        if !allowed || !can_think || budget < LEAST_BUDGET {
            return plain;
        }
        Thinking {
            form: Form::Budget(budget),
            effort: None,
            max_tokens: limit.unwrap_or(DEFAULT_MAX_TOKENS + room),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_version() {
        let table = [
            ("claude-3-7-sonnet-20250219", Some((3, 7))),
            ("claude-3-haiku-20240307", Some((3, 0))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Some((4, 5))),
            ("anthropic/claude-4.6-opus", Some((4, 6))),
            ("claude-opus-4-7[1m]", Some((4, 7))),
            ("claude-opus-5", Some((5, 0))),
            ("Claude-Opus-Latest", Some((u32::MAX, 0))),
            ("kimi-k2", None),
        ];
        for (name, version) in table {
            assert_eq!(Claude::of(name), Claude { version }, "{name}");
        }
    }

    #[test]
    fn an_effort_becomes_a_budget_or_adaptive_thinking_by_the_models_age() {
        let say = |model: &str, effort: &str| {
            let thinking = Claude::of(model).thinking(Some(effort), None, true);
            let effort_said = thinking.effort.unwrap_or("-");
            format!(
                "{model} {effort}: {:?} {effort_said} {}",
                thinking.form, thinking.max_tokens
            )
        };
        let models = [
            "claude-3-5-haiku",
            "claude-sonnet-4-5",
            "claude-opus-4-6",
            "claude-opus-5",
        ];
        let efforts = ["none", "minimal", "medium", "max", "absurd"];
        let table: Vec<String> = models
            .iter()
            .flat_map(|model| efforts.iter().map(|effort| say(model, effort)))
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        claude-3-5-haiku none: Unsaid - 4096
        claude-3-5-haiku minimal: Unsaid - 4096
        claude-3-5-haiku medium: Unsaid - 4096
        claude-3-5-haiku max: Unsaid - 4096
        claude-3-5-haiku absurd: Unsaid - 4096
        claude-sonnet-4-5 none: Unsaid - 4096
        claude-sonnet-4-5 minimal: Budget(1024) - 5120
        claude-sonnet-4-5 medium: Budget(8192) - 12288
        claude-sonnet-4-5 max: Budget(31999) - 36095
        claude-sonnet-4-5 absurd: Unsaid - 4096
        claude-opus-4-6 none: Unsaid - 4096
        claude-opus-4-6 minimal: Adaptive low 5120
        claude-opus-4-6 medium: Adaptive medium 12288
        claude-opus-4-6 max: Adaptive high 36095
        claude-opus-4-6 absurd: Unsaid - 4096
        claude-opus-5 none: Disabled - 12288
        claude-opus-5 minimal: Adaptive low 5120
        claude-opus-5 medium: Adaptive medium 12288
        claude-opus-5 max: Adaptive max 36095
        claude-opus-5 absurd: Unsaid - 12288
        ");
    }

    #[test]
    fn thinking_fits_into_the_callers_limit_or_is_left_out() {
        let form = |limit| {
            let thinking =
                Claude::of("claude-sonnet-4-5").thinking(Some("high"), Some(limit), true);
            assert_eq!(thinking.max_tokens, limit);
            thinking.form
        };
        assert_eq!(form(64_000), Form::Budget(16_384));
        assert_eq!(form(4_096), Form::Budget(3_072));
        assert_eq!(form(2_048), Form::Budget(1_024));
        assert_eq!(form(2_047), Form::Unsaid);
        assert_eq!(form(0), Form::Unsaid);
        let forced = Claude::of("claude-sonnet-4-5").thinking(Some("high"), None, false);
        assert_eq!((forced.form, forced.max_tokens), (Form::Unsaid, 4_096));
    }
}
