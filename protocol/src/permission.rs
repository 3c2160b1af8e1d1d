//! What the agent asks a person, and what the person answers.
//!
//! The wire forms of a client: the WebSocket frames `permission_response` and `question_response`, and
//! the body of `POST /api/sessions/{id}/permissions/{request_id}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{PermissionMode, Problem, ProblemKind};

/// Bytes of the words that go with an answer.
const MAX_MESSAGE: usize = 8 * 1024;
/// Answers to one request's questions, and bytes of all of them.
const MAX_ANSWERS: usize = 20;
const MAX_ANSWERS_BYTES: usize = 64 * 1024;
/// Bytes of an input as JSON that a person has changed.
const MAX_INPUT: usize = 256 * 1024;
/// Bytes of a rule such as `Bash(npm test *)`.
pub const MAX_RULE: usize = 300;

/// What a person answers to a request of the agent's.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub behavior: Behavior,
    /// The reason of a refusal.
    pub message: Option<String>,
    /// To a question: by its text, the chosen label or what was typed.
    pub answers: Option<BTreeMap<String, String>>,
    /// What the tool is to be called with instead.
    pub updated_input: Option<Value>,
    /// To a plan: the mode in which it is carried out.
    pub mode: Option<PermissionMode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Behavior {
    Allow,
    /// And what the request's rules cover is not asked again in this session.
    AllowSession,
    Deny,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Allow,
    AllowSession,
    Deny,
    /// Its questions were answered.
    Answer,
    /// Nobody answered in time.
    Expired,
    /// It is not asked any more: its turn is over, or the agent has taken it back.
    Withdrawn,
}

/// What the agent hears of a person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "behavior", rename_all = "snake_case")]
pub enum Verdict {
    Allow {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        updated_input: Option<Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<BTreeMap<String, String>>,
        /// The mode that it goes on in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permission_mode: Option<PermissionMode>,
    },
    Deny {
        message: String,
    },
}

/// An answer as it is written: to a request for permission a `behavior`, to a question `answers`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fields {
    /// A question takes `answers` instead.
    behavior: Option<Behavior>,
    /// The reason of a refusal, for the agent.
    message: Option<String>,
    /// To a question: by its text, the chosen label or what was typed.
    answers: Option<BTreeMap<String, Chosen>>,
    /// What the tool is to be called with instead.
    updated_input: Option<Map<String, Value>>,
    /// To a plan: the mode in which it is carried out.
    mode: Option<PermissionMode>,
}

/// Where several may be chosen, also a list.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub enum Chosen {
    One(String),
    Several(Vec<String>),
}

impl Answer {
    /// Reads the members of an answer; others are ignored.
    ///
    /// # Errors
    /// A 400 or 413 problem that names the member.
    pub fn from_fields(fields: Map<String, Value>) -> Result<Self, Problem> {
        let given: Fields =
            serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
                let field = error.path().to_string();
                Problem::bad_request(format!("{field}: {}", error.into_inner())).at(field)
            })?;
        let behavior = match (given.behavior, &given.answers) {
            (Some(behavior), _) => behavior,
            (None, Some(_)) => Behavior::Allow,
            (None, None) => {
                return Err(Problem::bad_request(
                    "behavior must be allow, allow_session or deny; a question takes answers",
                )
                .at("behavior"));
            }
        };
        let message = given.message.filter(|words| !words.trim().is_empty());
        if message.as_ref().map_or(0, String::len) > MAX_MESSAGE {
            return Err(too_large("message", MAX_MESSAGE));
        }
        let answers = given.answers.map(|answers| {
            let text = |chosen| match chosen {
                Chosen::One(text) => text,
                Chosen::Several(texts) => texts.join(", "),
            };
            answers
                .into_iter()
                .map(|(question, chosen)| (question, text(chosen)))
                .collect::<BTreeMap<_, _>>()
        });
        if let Some(answers) = &answers {
            let bytes: usize = answers.iter().map(|(q, a)| q.len() + a.len()).sum();
            if answers.len() > MAX_ANSWERS || bytes > MAX_ANSWERS_BYTES {
                return Err(too_large("answers", MAX_ANSWERS_BYTES));
            }
        }
        let updated_input = given.updated_input.map(Value::Object);
        if updated_input
            .as_ref()
            .is_some_and(|input| input.to_string().len() > MAX_INPUT)
        {
            return Err(too_large("updated_input", MAX_INPUT));
        }
        Ok(Self {
            behavior,
            message,
            answers,
            updated_input,
            mode: given.mode,
        })
    }
}

fn too_large(field: &str, limit: usize) -> Problem {
    Problem::new(
        ProblemKind::TooLarge,
        format!("{field} may have {limit} bytes"),
    )
    .at(field)
}

/// Whether a text can be a rule of Claude Code's: `Tool`, or `Tool(what it may do)`.
pub fn is_rule(rule: &str) -> bool {
    let (tool, rest) = rule.split_at(rule.find('(').unwrap_or(rule.len()));
    !tool.is_empty()
        && tool
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'*'))
        && (rest.is_empty() || rest.len() > 2 && rest.ends_with(')'))
        && rule.len() <= MAX_RULE
        && !rule.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<Answer, Problem> {
        let Value::Object(fields) = value else {
            panic!()
        };
        Answer::from_fields(fields)
    }

    #[test]
    fn answers_in_every_form() {
        let allow =
            parse(json!({"behavior": "allow", "type": "x", "request_id": "ask-1"})).unwrap();
        assert_eq!((allow.behavior, allow.answers), (Behavior::Allow, None));
        let several = parse(json!({"answers": {"Which?": ["Red", "Blue"], "Why?": "so"}})).unwrap();
        assert_eq!(several.behavior, Behavior::Allow);
        assert_eq!(several.answers.unwrap()["Which?"], "Red, Blue");
        let plan = parse(json!({"behavior": "allow", "mode": "acceptEdits"})).unwrap();
        assert_eq!(plan.mode, Some(PermissionMode::AcceptEdits));
        let no = parse(json!({"behavior": "deny", "message": " "})).unwrap();
        assert_eq!(no.message, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (given, field, status) in [
            (json!({}), "behavior", 400),
            (json!({"behavior": "perhaps"}), "behavior", 400),
            (json!({"answers": {"a": 1}}), "answers.a", 400),
            (
                json!({"behavior": "allow", "updated_input": 7}),
                "updated_input",
                400,
            ),
            (json!({"behavior": "allow", "mode": "yolo"}), "mode", 400),
            (
                json!({"behavior": "deny", "message": "x".repeat(MAX_MESSAGE + 1)}),
                "message",
                413,
            ),
            (
                json!({"answers": {"a": "x".repeat(MAX_ANSWERS_BYTES)}}),
                "answers",
                413,
            ),
        ] {
            let problem = parse(given).unwrap_err();
            assert_eq!(
                (problem.field.as_deref(), problem.status()),
                (Some(field), status),
                "{problem}"
            );
        }
    }

    #[test]
    fn rules() {
        for rule in [
            "Bash",
            "Bash(npm test *)",
            "mcp__github__*",
            "Edit(//workspace/**)",
        ] {
            assert!(is_rule(rule), "{rule}");
        }
        let long = format!("Bash({})", "x".repeat(MAX_RULE));
        for rule in [
            "",
            "Bash()",
            "Bash(a",
            "Ba sh",
            "(x)",
            "Bash(a\nb)",
            "Bash,Edit",
            &long,
        ] {
            assert!(!is_rule(rule), "{rule}");
        }
    }
}
