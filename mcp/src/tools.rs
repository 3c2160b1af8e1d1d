//! The tools: their names, what they take, and how models are told of them.

use protocol::SessionId;
use serde::Deserialize;
use serde_json::{Value, json};

/// Seconds that a call of `wait_for_agents` may take.
pub const MAX_WAIT_SECONDS: u64 = 600;

/// Seconds that it takes where nothing is said.
const WAIT_SECONDS: u64 = 120;

/// Sessions that are waited for at once.
const MAX_WAITED_FOR: usize = 20;

/// A tool that is called, with what it is called with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "name", content = "arguments", rename_all = "snake_case")]
pub enum Tool {
    /// The agents that may be launched.
    ListAgents {},
    /// Begins a session of an agent.
    LaunchAgent {
        agent: String,
        #[serde(default)]
        message: Option<String>,
    },
    /// Says something to an agent.
    SendMessage {
        session_id: SessionId,
        message: String,
    },
    /// Waits until agents have nothing more to do.
    WaitForAgents {
        session_ids: Vec<SessionId>,
        #[serde(default = "wait_seconds")]
        timeout_seconds: u64,
    },
    /// The sessions that the caller may work with.
    ListSessions {},
    /// Stops the turn that an agent is at.
    StopAgent { session_id: SessionId },
    /// The files of an agent's workspace.
    ListFiles {
        session_id: SessionId,
        #[serde(default)]
        path: String,
    },
    /// One of them, where it is a text.
    ReadFile { session_id: SessionId, path: String },
}

fn wait_seconds() -> u64 {
    WAIT_SECONDS
}

/// Why a call can't be read.
#[derive(Debug)]
pub enum Unread {
    /// There is no such tool.
    Unknown(String),
    /// It does not take these arguments.
    Arguments(String),
}

impl Tool {
    /// Reads the `params` of a call.
    pub(crate) fn read(mut params: Value) -> Result<Self, Unread> {
        let name = params.get("name").and_then(Value::as_str);
        let name = name.unwrap_or_default().to_owned();
        let known = list();
        let names = known.iter().filter_map(|tool| tool.get("name")?.as_str());
        if !names.clone().any(|known| known == name) {
            let names = names.collect::<Vec<_>>().join(", ");
            return Err(Unread::Unknown(format!(
                "there is no such tool; there are {names}"
            )));
        }
        let arguments = params.get_mut("arguments").map(Value::take);
        let arguments = arguments.filter(|given| !given.is_null());
        let call = json!({ "name": name, "arguments": arguments.unwrap_or(json!({})) });
        let wrong = |words: &str| Err(Unread::Arguments(format!("{name}: {words}")));
        let tool = match serde_json::from_slice(call.to_string().as_bytes()) {
            Ok(tool) => tool,
            Err(error) => return wrong(&error.to_string()),
        };
        match &tool {
            Self::WaitForAgents { session_ids, .. } if session_ids.is_empty() => {
                wrong("session_ids names no session")
            }
            Self::WaitForAgents { session_ids, .. } if session_ids.len() > MAX_WAITED_FOR => {
                wrong(&format!("session_ids names more than {MAX_WAITED_FOR}"))
            }
            Self::WaitForAgents {
                timeout_seconds, ..
            } if *timeout_seconds > MAX_WAIT_SECONDS => {
                wrong(&format!("timeout_seconds is more than {MAX_WAIT_SECONDS}"))
            }
            _ => Ok(tool),
        }
    }
}

/// The tools as models are told of them.
pub(crate) fn list() -> Vec<Value> {
    let session = json!({ "type": "string", "description": "As launch_agent gave it." });
    let tool = |name: &str,
                title: &str,
                description: &str,
                fields: Value,
                required: &[&str],
                reads: bool| {
        json!({
            "name": name,
            "title": title,
            "description": description,
            "inputSchema": {
                "type": "object", "properties": fields, "required": required,
                "additionalProperties": false,
            },
            "annotations": { "readOnlyHint": reads, "destructiveHint": false, "openWorldHint": !reads },
        })
    };
    vec![
        tool(
            "list_agents",
            "List agents",
            "The agents that can be launched: their ids, and what each is good for.",
            json!({}),
            &[],
            true,
        ),
        tool(
            "launch_agent",
            "Launch an agent",
            "Begins a session of an agent, in a sandbox of its own, and says something to it where message is given. \
             Returns session_id at once; wait_for_agents waits for its answer.",
            json!({
                "agent": { "type": "string", "description": "The id of an agent, as list_agents gives it." },
                "message": {
                    "type": "string",
                    "description": "What it is to do. It knows nothing of this conversation: tell it all that it needs.",
                },
            }),
            &["agent"],
            false,
        ),
        tool(
            "send_message",
            "Send a message",
            "Says something to an agent that was launched. What it is at it ends first.",
            json!({ "session_id": session, "message": { "type": "string" } }),
            &["session_id", "message"],
            false,
        ),
        tool(
            "wait_for_agents",
            "Wait for agents",
            "Waits until each of these agents has nothing more to do, or the time is over. Returns where each stands, \
             and what it has answered last.",
            json!({
                "session_ids": {
                    "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": MAX_WAITED_FOR,
                },
                "timeout_seconds": {
                    "type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": WAIT_SECONDS,
                },
            }),
            &["session_ids"],
            true,
        ),
        tool(
            "list_sessions",
            "List sessions",
            "The sessions that you can work with, and where each stands.",
            json!({}),
            &[],
            true,
        ),
        tool(
            "stop_agent",
            "Stop an agent",
            "Stops what an agent is at. It can be sent another message.",
            json!({ "session_id": session }),
            &["session_id"],
            false,
        ),
        tool(
            "list_files",
            "List files",
            "The files of an agent's workspace, with all below: 500 entries at most. Name a folder for what is in it.",
            json!({
                "session_id": session,
                "path": { "type": "string", "description": "A folder; the workspace where nothing is given." },
            }),
            &["session_id"],
            true,
        ),
        tool(
            "read_file",
            "Read a file",
            "A text file of an agent's workspace.",
            json!({ "session_id": session, "path": { "type": "string" } }),
            &["session_id", "path"],
            true,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_that_is_told_of_is_there() {
        let id = "s";
        let calls = [
            ("list_agents", json!({})),
            ("launch_agent", json!({ "agent": "a" })),
            ("send_message", json!({ "session_id": id, "message": "m" })),
            ("wait_for_agents", json!({ "session_ids": [id] })),
            ("list_sessions", Value::Null),
            ("stop_agent", json!({ "session_id": id })),
            ("list_files", json!({ "session_id": id })),
            ("read_file", json!({ "session_id": id, "path": "a" })),
        ];
        let told: Vec<Value> = list();
        assert_eq!(told.len(), calls.len());
        for ((name, arguments), told) in calls.into_iter().zip(told) {
            assert_eq!(told.get("name").unwrap(), name);
            let required = told.pointer("/inputSchema/required").unwrap();
            for field in required.as_array().unwrap() {
                assert!(arguments.get(field.as_str().unwrap()).is_some(), "{name}");
                let without = Tool::read(json!({ "name": name, "arguments": {} }));
                assert!(matches!(without, Err(Unread::Arguments(_))), "{name}");
            }
            Tool::read(json!({ "name": name, "arguments": arguments })).unwrap();
        }
    }

    #[test]
    fn waiting_has_its_bounds() {
        let wait = |ids: usize, seconds: u64| {
            let ids = vec!["s"; ids];
            Tool::read(json!({
                "name": "wait_for_agents",
                "arguments": { "session_ids": ids, "timeout_seconds": seconds },
            }))
        };
        assert!(wait(20, MAX_WAIT_SECONDS).is_ok());
        assert!(wait(0, 1).is_err() && wait(21, 1).is_err());
        assert!(wait(1, MAX_WAIT_SECONDS + 1).is_err());
    }
}
