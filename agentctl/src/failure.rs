//! What goes wrong, in words, with what to do about it and the exit code.

use std::fmt;

use protocol::{Problem, ProblemKind};
use serde_json::{Value, json};

use crate::cli::Command;
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

/// What a command is about: by this, what to do about an error is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Agents,
    Files,
    Keys,
    /// What an agent has asked.
    Requests,
    /// Sessions, and all else.
    Sessions,
}

impl From<&Command> for About {
    fn from(command: &Command) -> Self {
        match command {
            Command::Launch(_) | Command::Configs(_) => Self::Agents,
            Command::Files(_) => Self::Files,
            Command::Keys(_) => Self::Keys,
            Command::Answer(_) => Self::Requests,
            _ => Self::Sessions,
        }
    }
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
    fn hint(&self, about: About) -> Option<&'static str> {
        match self {
            Self::Told(problem, _) => match problem.kind {
                ProblemKind::Unauthenticated => Some(
                    "sign in with agentctl login, or give a key in AGENTCTL_TOKEN; agentctl profiles shows what is used",
                ),
                ProblemKind::Forbidden => Some(
                    "the key that is used may not; another one may: agentctl login, or AGENTCTL_TOKEN",
                ),
                ProblemKind::NotFound => missing(problem, about),
                ProblemKind::PreconditionFailed | ProblemKind::Conflict => {
                    in_the_way(problem, about)
                }
                ProblemKind::TooManyRequests | ProblemKind::NoCapacity => {
                    Some("try again in a few seconds")
                }
                ProblemKind::Internal => {
                    Some("the request's id is for whoever runs the server: its log says more")
                }
                _ => of_field(problem),
            },
            Self::Connection(_) => Some(
                "is the server's address right, and does it run? AGENTCTL_SERVER or agentctl login --server says another",
            ),
            _ => None,
        }
    }

    /// For a person, in lines; none where nothing is to be said any more.
    pub fn words(&self, about: About) -> Option<String> {
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
        let hint = self.hint(about).map(|hint| format!("\n  {hint}"));
        Some(format!(
            "error: {}{}",
            harmless::text(&words),
            hint.unwrap_or_default()
        ))
    }

    /// For a program.
    pub fn json(&self, about: About) -> Value {
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
        if let (Some(hint), Some(members)) = (self.hint(about), error.as_object_mut()) {
            members.insert("hint".to_owned(), json!(hint));
        }
        json!({ "error": error })
    }
}

/// Where to find what is not there.
fn missing(problem: &Problem, about: About) -> Option<&'static str> {
    if problem.detail.contains("no such session") {
        return Some("agentctl ls shows your sessions");
    }
    of_field(problem).or(match about {
        About::Agents => Some(
            "agentctl presets shows the agents that come with the server, agentctl configs ls your own",
        ),
        About::Files => Some("agentctl files ls SESSION shows what is there"),
        About::Keys => Some("agentctl keys ls shows the keys"),
        About::Requests => {
            Some("agentctl logs SESSION shows what the agent has asked, each with its id")
        }
        About::Sessions => None,
    })
}

/// How to do it all the same.
fn in_the_way(problem: &Problem, about: About) -> Option<&'static str> {
    let told = |words: &str| problem.detail.contains(words);
    match about {
        About::Files if told("not empty") => Some("files rm --recursive removes all that is in it"),
        About::Files if problem.kind == ProblemKind::PreconditionFailed || told("already") => {
            Some("--force replaces what is there")
        }
        About::Sessions if told("this session has ended") => {
            Some("agentctl launch AGENT --workspace-from SESSION begins another one with its files")
        }
        About::Agents if told("already") => Some("configs put --replace ID replaces it"),
        _ => None,
    }
}

/// What gives a member of a request another value.
fn of_field(problem: &Problem) -> Option<&'static str> {
    let field = problem.field.as_deref()?;
    match field.rsplit('.').next() {
        _ if field == "mcp_env" || field.starts_with("mcp_env.") => {
            Some("--mcp-env NAME=VALUE gives it, --mcp-env NAME out of the environment")
        }
        Some("model") => Some("agentctl models shows the models"),
        Some("provider") => Some("agentctl providers shows where sandboxes may run"),
        Some("workspace_from") => Some("agentctl ls shows your sessions"),
        _ => None,
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
            all += &format!(
                "{} {}\n",
                failure.exit_code(),
                failure.words(About::Sessions).unwrap()
            );
        }
        insta::assert_snapshot!(all);
        assert_eq!(Failure::TurnFailed.exit_code(), 3);
        assert_eq!(Failure::Interrupted.exit_code(), 130);
        let json = told(Problem::bad_request("no").at("x")).json(About::Sessions);
        assert_eq!(json["error"]["code"], "bad_request");
        assert_eq!(json["error"]["field"], "x");
    }

    #[test]
    fn a_hint_fits_its_command() {
        use About::{Agents, Files, Keys, Requests, Sessions};
        use ProblemKind::{Conflict, NotFound, PreconditionFailed};
        let mut all = String::new();
        for (about, kind, detail, field) in [
            (Sessions, NotFound, "there is no such session", None),
            (Files, NotFound, "there is no such session", None),
            (Files, NotFound, "\"nope\" is not there", None),
            (Sessions, NotFound, "turn-9 has left nothing", None),
            (Sessions, NotFound, "there is no such model", Some("model")),
            (Agents, NotFound, "there is no such configuration", None),
            (Keys, NotFound, "there is no such key", None),
            (Requests, NotFound, "the agent has not asked this", None),
            (Files, PreconditionFailed, "the file is another", None),
            (Files, Conflict, "\"a\" is there already", None),
            (Files, Conflict, "\"a\" is a folder that is not empty", None),
            (Files, Conflict, "\"a\" is a folder", None),
            (Agents, Conflict, "there is a configuration a already", None),
            (Agents, Conflict, "a comes with this deployment", None),
            (Requests, Conflict, "this was answered already", None),
            (Sessions, Conflict, "this session has ended", None),
            (
                Agents,
                ProblemKind::BadRequest,
                "is missing",
                Some("mcp_env.TOKEN"),
            ),
            (Agents, ProblemKind::ModelFailed, "no key", Some("model")),
        ] {
            let problem = Problem::new(kind, detail);
            let problem = match field {
                Some(field) => problem.at(field),
                None => problem,
            };
            let told = Failure::Told(problem, 400);
            all += &format!("{about:?} {detail}: {:?}\n", told.hint(about));
        }
        insta::assert_snapshot!(all);
    }
}
