//! What goes wrong, in words, with what to do about it and the exit code.

use std::fmt;

use protocol::{Problem, ProblemKind};
use serde_json::{Value, json};

use crate::harmless;

/// Why a command ends without being done.
#[derive(Debug)]
pub enum Failure {
    /// The command can't be carried out as it was given.
    Usage(String),
    /// The server's own words.
    Told(Problem, u16),
    /// The server can't be reached, or does not speak as it should.
    Connection(String),
    /// Something on this machine.
    Here(String),
    /// A turn ended so; the words were shown.
    TurnFailed,
    Interrupted,
    /// Whoever reads the output has left.
    Unread,
}

impl Failure {
    pub fn here(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::Here(format!("{what}: {error}"))
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Told(problem, _) => match problem.kind {
                ProblemKind::NotFound => 4,
                ProblemKind::Unauthenticated | ProblemKind::Forbidden => 5,
                _ => 1,
            },
            Self::Connection(_) | Self::Here(_) => 1,
            Self::TurnFailed => 3,
            Self::Interrupted => 130,
            Self::Unread => 0,
        }
    }

    /// What to do about it.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Told(problem, _) => match problem.kind {
                ProblemKind::Unauthenticated => Some(
                    "sign in with agentctl login, or give a key in AGENTCTL_TOKEN; agentctl profiles shows what is used",
                ),
                ProblemKind::Forbidden => Some(
                    "the key that is used may not; another one may: agentctl login, or AGENTCTL_TOKEN",
                ),
                ProblemKind::NotFound => {
                    Some("agentctl ls shows your sessions, agentctl presets the agents")
                }
                ProblemKind::PreconditionFailed | ProblemKind::Conflict => {
                    Some("files take --force to replace what is there, configs put takes --replace")
                }
                ProblemKind::TooManyRequests | ProblemKind::NoCapacity => {
                    Some("try again in a few seconds")
                }
                ProblemKind::Internal => {
                    Some("the request's id is for whoever runs the server: its log says more")
                }
                _ => None,
            },
            Self::Connection(_) => Some(
                "is the server's address right, and does it run? AGENTCTL_SERVER or agentctl login --server says another",
            ),
            _ => None,
        }
    }

    /// For a person, in lines; none where nothing is to be said any more.
    pub fn words(&self) -> Option<String> {
        let words = match self {
            Self::TurnFailed | Self::Interrupted | Self::Unread => return None,
            Self::Usage(words) | Self::Here(words) | Self::Connection(words) => words.clone(),
            Self::Told(problem, status) => match &problem.field {
                Some(field) if !problem.detail.contains(field.as_str()) => {
                    format!("{field}: {} ({status})", problem.detail)
                }
                _ => format!("{} ({status})", problem.detail),
            },
        };
        let hint = self.hint().map(|hint| format!("\n  {hint}"));
        Some(format!(
            "error: {}{}",
            harmless::text(&words),
            hint.unwrap_or_default()
        ))
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let mut error = match self {
            Self::Told(problem, status) => {
                json!({ "code": problem.kind.code(), "detail": problem.detail, "status": status, "field": problem.field })
            }
            Self::Usage(words) => json!({ "code": "usage", "detail": words }),
            Self::Connection(words) => json!({ "code": "connection", "detail": words }),
            Self::Here(words) => json!({ "code": "here", "detail": words }),
            Self::TurnFailed => json!({ "code": "turn_failed", "detail": "the turn failed" }),
            Self::Interrupted => json!({ "code": "interrupted", "detail": "interrupted" }),
            Self::Unread => json!({ "code": "unread", "detail": "nobody reads the output" }),
        };
        if let (Some(hint), Some(members)) = (self.hint(), error.as_object_mut()) {
            members.insert("hint".to_owned(), json!(hint));
        }
        json!({ "error": error })
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Here(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_the_server_said_and_what_to_do() {
        let told = |problem: Problem| {
            let status = problem.status();
            Failure::Told(problem, status)
        };
        let mut all = String::new();
        for failure in [
            told(Problem::new(
                ProblemKind::Unauthenticated,
                "this key is not known",
            )),
            told(Problem::new(
                ProblemKind::Forbidden,
                "the key lacks the scope launch",
            )),
            told(Problem::new(
                ProblemKind::NotFound,
                "there is no such session",
            )),
            told(Problem::bad_request("must be at least 1").at("config.max_turns")),
            told(Problem::new(
                ProblemKind::TooManyRequests,
                "\x1b[2Jtoo many",
            )),
            Failure::Connection(
                "http://127.0.0.1:1 can't be reached: connection refused".to_owned(),
            ),
            Failure::Usage("say what".to_owned()),
        ] {
            all += &format!("{} {}\n", failure.exit_code(), failure.words().unwrap());
        }
        insta::assert_snapshot!(all);
        assert_eq!(Failure::TurnFailed.exit_code(), 3);
        assert_eq!(Failure::Interrupted.exit_code(), 130);
        let json = told(Problem::bad_request("no").at("x")).json();
        assert_eq!(json["error"]["code"], "bad_request");
        assert_eq!(json["error"]["field"], "x");
    }
}
