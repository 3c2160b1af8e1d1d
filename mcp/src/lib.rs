//! The Model Context Protocol, as a server of tools speaks it over Streamable HTTP (revision 2025-11-25, and
//! those before): what a message asks for, and how it is answered. The tools let one agent work with others.

mod tools;

pub use tools::{MAX_WAIT_SECONDS, Tool};

use protocol::Problem;
use serde_json::{Value, json};

/// The revisions that are spoken, the newest first. They differ in nothing that is used here.
const REVISIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// What whoever uses the tools is told of them all.
const INSTRUCTIONS: &str = "Launch agents and work with them. Each runs Claude Code in a sandbox of its own, \
with its own files. Launch one with a message, wait for it, and read its answer and its files.";

// JSON-RPC 2.0, section 5.1.
const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;

/// What becomes of a message.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// There is nothing to answer: 202, without a body.
    Nothing,
    /// This is the answer, with the HTTP status.
    Answer(u16, Value),
    /// A tool is called. [`answered`] makes the answer.
    Call { id: Value, tool: Tool },
}

/// Reads what a client has sent, one message. `version` is the server's own.
pub fn read(body: &[u8], version: &str) -> Incoming {
    let wrong = |code: i64, words: &str| Incoming::Answer(400, error(&Value::Null, code, words));
    let Ok(Value::Object(mut message)) = serde_json::from_slice(body) else {
        let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(body).is_ok();
        return match is_json {
            true => wrong(INVALID_REQUEST, "send one message a request: an object"),
            false => wrong(PARSE_ERROR, "the body is no JSON"),
        };
    };
    let method = message.get("method").and_then(Value::as_str);
    let method = method.map(str::to_owned);
    let id = message.remove("id");
    let params = message.remove("params").unwrap_or_default();
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return wrong(INVALID_REQUEST, "jsonrpc must be \"2.0\"");
    }
    let (method, id) = match (method, id) {
        // An answer to what this server never asks, or word of something.
        (None, Some(_)) | (Some(_), None) => return Incoming::Nothing,
        (None, None) => return wrong(INVALID_REQUEST, "a message has a method"),
        (Some(method), Some(id)) => (method, id),
    };
    if !(id.is_string() || id.is_number()) {
        return wrong(INVALID_REQUEST, "id must be a text or a number");
    }
    let result = |result: Value| {
        Incoming::Answer(200, json!({ "jsonrpc": "2.0", "id": id, "result": result }))
    };
    match method.as_str() {
        "initialize" => {
            let wanted = params.get("protocolVersion").and_then(Value::as_str);
            let revision = REVISIONS.iter().find(|known| Some(**known) == wanted);
            result(json!({
                "protocolVersion": revision.unwrap_or(&REVISIONS[0]),
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "agent-router", "title": "Agent Router", "version": version },
                "instructions": INSTRUCTIONS,
            }))
        }
        "ping" => result(json!({})),
        "tools/list" => result(json!({ "tools": tools::list() })),
        "tools/call" => match Tool::read(params) {
            Ok(tool) => Incoming::Call { id, tool },
            Err(tools::Unread::Unknown(words)) => {
                Incoming::Answer(200, error(&id, INVALID_PARAMS, &words))
            }
            // What is wrong with the arguments is for the model to read, who can mend it.
            Err(tools::Unread::Arguments(words)) => {
                Incoming::Answer(200, answered(&id, &Err(Problem::bad_request(words))))
            }
        },
        _ => Incoming::Answer(
            200,
            error(
                &id,
                METHOD_NOT_FOUND,
                "this server has tools, and nothing else",
            ),
        ),
    }
}

/// Whether a client's `MCP-Protocol-Version` is one that is spoken.
pub fn speaks(revision: &str) -> bool {
    REVISIONS.contains(&revision)
}

/// The answer to a call: what the tool says, or why it says nothing.
pub fn answered(id: &Value, said: &Result<Value, Problem>) -> Value {
    let result = match said {
        Ok(said) => json!({
            "content": [{ "type": "text", "text": said.to_string() }],
            "structuredContent": said,
        }),
        Err(problem) => json!({
            "content": [{ "type": "text", "text": problem.detail }],
            "isError": true,
        }),
    };
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

fn error(id: &Value, code: i64, words: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": words } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(message: Value) -> (u16, Value) {
        match read(message.to_string().as_bytes(), "0.1.0") {
            Incoming::Answer(status, answer) => (status, answer),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_client_and_the_server_agree_on_a_revision() {
        for (wanted, spoken) in [
            ("2025-06-18", "2025-06-18"),
            ("2024-11-05", "2024-11-05"),
            ("2099-01-01", "2025-11-25"),
        ] {
            let (status, answer) = answer(json!({
                "jsonrpc": "2.0", "id": 1, "method": "initialize",
                "params": { "protocolVersion": wanted, "capabilities": {}, "clientInfo": {} },
            }));
            assert_eq!(status, 200);
            let result = answer.get("result").unwrap();
            assert_eq!(result.get("protocolVersion").unwrap(), spoken);
            assert!(result.pointer("/capabilities/tools").is_some());
        }
        assert!(speaks("2025-03-26") && !speaks("2020-01-01"));
    }

    #[test]
    fn what_needs_no_answer_gets_none() {
        for message in [
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {} }),
            json!({ "jsonrpc": "2.0", "id": 1, "result": {} }),
        ] {
            assert_eq!(read(message.to_string().as_bytes(), ""), Incoming::Nothing);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (body, status, code) in [
            ("nonsense", 400, PARSE_ERROR),
            ("[]", 400, INVALID_REQUEST),
            ("1", 400, INVALID_REQUEST),
            (r#"{"id":1,"method":"ping"}"#, 400, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0"}"#, 400, INVALID_REQUEST),
            (
                r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
                400,
                INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"resources/list"}"#,
                200,
                METHOD_NOT_FOUND,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fly"}}"#,
                200,
                INVALID_PARAMS,
            ),
        ] {
            let Incoming::Answer(said, answer) = read(body.as_bytes(), "") else {
                panic!("{body}");
            };
            assert_eq!(said, status, "{body}");
            assert_eq!(answer.pointer("/error/code"), Some(&json!(code)), "{body}");
        }
    }

    #[test]
    fn a_call_is_read_and_answered() {
        let call = json!({
            "jsonrpc": "2.0", "id": "a", "method": "tools/call",
            "params": { "name": "launch_agent", "arguments": { "agent": "code-assistant", "message": "hi" } },
        });
        let read = read(call.to_string().as_bytes(), "");
        let Incoming::Call { id, tool } = read else {
            panic!("{read:?}");
        };
        let launch = Tool::LaunchAgent {
            agent: "code-assistant".to_owned(),
            message: Some("hi".to_owned()),
        };
        assert_eq!((&id, tool), (&json!("a"), launch));
        let said = answered(&id, &Ok(json!({ "session_id": "s" })));
        assert_eq!(
            said.pointer("/result/structuredContent/session_id"),
            Some(&json!("s"))
        );
        let said = answered(&id, &Err(Problem::bad_request("no")));
        assert_eq!(said.pointer("/result/isError"), Some(&json!(true)));
    }

    #[test]
    fn wrong_arguments_are_told_to_the_model() {
        let (status, answer) = answer(json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "send_message", "arguments": { "session_id": "a b" } },
        }));
        assert_eq!(status, 200);
        assert_eq!(answer.pointer("/result/isError"), Some(&json!(true)));
        assert!(answer.to_string().contains("a session id is"), "{answer}");
    }

    proptest! {
        #[test]
        fn no_body_panics(body in any::<Vec<u8>>()) {
            let _ = read(&body, "");
        }
    }
}
