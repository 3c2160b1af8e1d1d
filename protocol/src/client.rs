//! What a client sends through its WebSocket.

use serde::Deserialize;
use serde_json::Value;

use crate::options::{ClaudeCodeOptions, MAX_BODY, Turn, model};
use crate::{Answer, PermissionMode, Problem, ProblemKind, TurnId};

/// A frame from a client, checked.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientMessage {
    UserMessage {
        /// Its sender's id for it, so that sending it again does not say it again.
        id: Option<String>,
        turn: Box<Turn>,
    },
    /// Stops a turn: the one named, or the one that runs.
    Interrupt {
        turn_id: Option<TurnId>,
    },
    SetModel {
        model: String,
    },
    /// Answers what the agent asks.
    Answer {
        request_id: String,
        answer: Box<Answer>,
    },
    /// What the agent may do without asking, from now on.
    SetPermissionMode {
        mode: PermissionMode,
    },
    /// A rule of the session's that is to hold no more.
    RemoveRule {
        rule: String,
    },
    /// Asks for the events after `from`: on, where the server said that there is more, or once more.
    Resume {
        from: u64,
    },
    /// Gets the sandbox going, before something is said that needs it.
    Wake,
    Ping,
}

/// Characters of a message's id.
const MAX_MESSAGE_ID: usize = 128;

impl ClientMessage {
    /// # Errors
    /// A 400 or 413 problem that says what is wrong with the frame.
    pub fn parse(frame: &str) -> Result<Self, Problem> {
        if frame.len() > MAX_BODY {
            return Err(Problem::new(
                ProblemKind::TooLarge,
                format!(
                    "the message is {} bytes long, the limit is {MAX_BODY}; put long material into a file",
                    frame.len()
                ),
            ));
        }
        let value: Value = serde_json::from_str(frame)
            .map_err(|error| Problem::bad_request(format!("not valid JSON: {error}")))?;
        let Value::Object(mut fields) = value else {
            return Err(Problem::bad_request(
                "a message must be a JSON object with a \"type\", such as {\"type\":\"user_message\",\"content\":\"…\"}",
            ));
        };
        let kind = match fields.remove("type") {
            Some(Value::String(kind)) => kind,
            _ => return Err(Problem::bad_request("the message has no \"type\"").at("type")),
        };
        match kind.as_str() {
            "user_message" => {
                let id = message_id(fields.remove("id"))?;
                if let Some(content) = fields.remove("content") {
                    fields.insert("prompt".to_owned(), content);
                }
                let options = ClaudeCodeOptions::from_value(Value::Object(fields))
                    .and_then(ClaudeCodeOptions::into_turn)
                    .map_err(|mut problem| {
                        // The sender calls the prompt `content`.
                        if problem.field.as_deref() == Some("prompt") {
                            problem.field = Some("content".to_owned());
                        }
                        problem
                    })?;
                Ok(Self::UserMessage {
                    id,
                    turn: Box::new(options),
                })
            }
            "interrupt" => {
                #[derive(Deserialize)]
                struct Interrupt {
                    turn_id: Option<TurnId>,
                }
                let Interrupt { turn_id } = fields_of(fields)?;
                Ok(Self::Interrupt { turn_id })
            }
            "set_model" => {
                #[derive(Deserialize)]
                struct SetModel {
                    model: String,
                }
                let given: SetModel = fields_of(fields)?;
                match model("model", Some(given.model))? {
                    Some(model) => Ok(Self::SetModel { model }),
                    None => Err(Problem::bad_request("model is empty").at("model")),
                }
            }
            "permission_response" | "question_response" => {
                #[derive(Deserialize)]
                struct Named {
                    request_id: String,
                }
                let id = fields.remove("request_id").unwrap_or_default();
                let named = serde_json::Map::from_iter([("request_id".to_owned(), id)]);
                let Named { request_id } = fields_of(named)?;
                if kind == "question_response" && !fields.contains_key("answers") {
                    return Err(Problem::bad_request("there are no answers").at("answers"));
                }
                let answer = Box::new(Answer::from_fields(fields)?);
                Ok(Self::Answer { request_id, answer })
            }
            "set_permission_mode" => {
                #[derive(Deserialize)]
                struct SetMode {
                    mode: PermissionMode,
                }
                let SetMode { mode } = fields_of(fields)?;
                Ok(Self::SetPermissionMode { mode })
            }
            "remove_rule" => {
                #[derive(Deserialize)]
                struct RemoveRule {
                    rule: String,
                }
                let RemoveRule { rule } = fields_of(fields)?;
                Ok(Self::RemoveRule { rule })
            }
            "resume" => {
                #[derive(Deserialize)]
                struct Resume {
                    from: u64,
                }
                let Resume { from } = fields_of(fields)?;
                Ok(Self::Resume { from })
            }
            "wake" => Ok(Self::Wake),
            "ping" => Ok(Self::Ping),
            other => Err(Problem::bad_request(format!(
                "unknown type {:?}; known are user_message, interrupt, permission_response, question_response, set_model, set_permission_mode, remove_rule, resume, wake and ping",
                other.chars().take(40).collect::<String>()
            ))
            .at("type")),
        }
    }
}

fn fields_of<T: serde::de::DeserializeOwned>(
    fields: serde_json::Map<String, Value>,
) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let field = error.path().to_string();
        Problem::bad_request(format!("{field}: {}", error.into_inner())).at(field)
    })
}

/// # Errors
/// Where the id is not a short text of printable characters.
pub fn message_id(given: Option<Value>) -> Result<Option<String>, Problem> {
    match given {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id))
            if !id.is_empty()
                && id.len() <= MAX_MESSAGE_ID
                && id.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(id))
        }
        Some(_) => Err(Problem::bad_request(format!(
            "id must be 1 to {MAX_MESSAGE_ID} printable ASCII characters without spaces"
        ))
        .at("id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_message() {
        let ClientMessage::UserMessage { id, turn } = ClientMessage::parse(
            r#"{"type":"user_message","content":"hi","id":"m1","model":"local/demo","maxTurns":3,"timestamp":1}"#,
        )
        .unwrap() else {
            panic!()
        };
        assert_eq!(id.as_deref(), Some("m1"));
        assert_eq!(
            (turn.prompt.as_str(), turn.model.as_deref()),
            ("hi", Some("local/demo"))
        );
        assert_eq!(turn.launch.max_turns, 3);
        for (frame, message) in [
            (
                r#"{"type":"interrupt"}"#,
                ClientMessage::Interrupt { turn_id: None },
            ),
            (
                r#"{"type":"interrupt","turn_id":"turn-2"}"#,
                ClientMessage::Interrupt {
                    turn_id: Some(TurnId(2)),
                },
            ),
            (
                r#"{"type":"set_model","model":"a/b"}"#,
                ClientMessage::SetModel {
                    model: "a/b".into(),
                },
            ),
            (
                r#"{"type":"resume","from":3}"#,
                ClientMessage::Resume { from: 3 },
            ),
            (
                r#"{"type":"set_permission_mode","mode":"plan"}"#,
                ClientMessage::SetPermissionMode {
                    mode: PermissionMode::Plan,
                },
            ),
            (
                r#"{"type":"remove_rule","rule":"Bash(ls *)"}"#,
                ClientMessage::RemoveRule {
                    rule: "Bash(ls *)".into(),
                },
            ),
            (r#"{"type":"wake"}"#, ClientMessage::Wake),
            (r#"{"type":"ping"}"#, ClientMessage::Ping),
        ] {
            assert_eq!(ClientMessage::parse(frame).unwrap(), message);
        }
    }

    #[test]
    fn every_problem_says_where() {
        for (frame, field, words) in [
            ("", None, "JSON"),
            ("7", None, "JSON object"),
            ("{}", Some("type"), "no \"type\""),
            (r#"{"type":"shout"}"#, Some("type"), "unknown type"),
            (r#"{"type":"user_message"}"#, Some("content"), "no prompt"),
            (
                r#"{"type":"user_message","content":""}"#,
                Some("content"),
                "empty",
            ),
            (
                r#"{"type":"user_message","content":[1]}"#,
                Some("content"),
                "expected a string",
            ),
            (
                r#"{"type":"user_message","content":"x","id":7}"#,
                Some("id"),
                "id must be",
            ),
            (
                r#"{"type":"user_message","content":"x","maxTurns":"x"}"#,
                Some("maxTurns"),
                "maxTurns",
            ),
            (r#"{"type":"set_model"}"#, Some("."), "missing field"),
            (r#"{"type":"set_model","model":""}"#, Some("model"), "empty"),
            (r#"{"type":"resume","from":-1}"#, Some("from"), "from"),
            (
                r#"{"type":"permission_response","behavior":"allow"}"#,
                Some("request_id"),
                "request_id",
            ),
            (
                r#"{"type":"permission_response","request_id":"ask-1"}"#,
                Some("behavior"),
                "allow_session",
            ),
            (
                r#"{"type":"question_response","request_id":"ask-1","behavior":"allow"}"#,
                Some("answers"),
                "no answers",
            ),
            (
                r#"{"type":"set_permission_mode","mode":"all"}"#,
                Some("mode"),
                "plan",
            ),
            (
                r#"{"type":"interrupt","turn_id":"x"}"#,
                Some("turn_id"),
                "turn-7",
            ),
        ] {
            let problem = ClientMessage::parse(frame).expect_err(frame);
            assert_eq!(problem.field.as_deref(), field, "{frame}: {problem}");
            assert!(problem.detail.contains(words), "{frame}: {problem}");
        }
        let frame = format!(
            r#"{{"type":"user_message","content":"{}"}}"#,
            "x".repeat(MAX_BODY)
        );
        assert_eq!(ClientMessage::parse(&frame).unwrap_err().status(), 413);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(frame in ".{0,200}") {
            let _ = ClientMessage::parse(&frame);
        }
    }
}
