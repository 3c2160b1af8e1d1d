//! A turn as clients of the platform family read it: text, tools, thinking and things to do, each in a
//! small object of its own. A fold over the events of a session's log.

use std::collections::{HashMap, HashSet};

use protocol::event::{Outcome, Status, TurnState, Usage};
use protocol::{Event, EventBody};
use serde_json::{Value, json};

/// What of a turn was told until now. It reads a turn from its first event, so that a client that
/// comes back in the middle hears nothing twice.
#[derive(Debug, Default)]
pub struct Chat {
    /// The blocks of text whose pieces were told.
    streamed: HashSet<String>,
    text: String,
    tools: Vec<Value>,
    failure: Option<(String, String)>,
    end: Option<Status>,
}

impl Chat {
    /// What an event is to these clients; most are one thing, some are nothing.
    pub fn told(&mut self, event: &Event) -> Vec<Value> {
        let told = match &event.body {
            EventBody::Progress { content, place } if place.parent_tool_use_id.is_none() => {
                self.streamed.insert(place.block.clone());
                Some(json!({ "type": "text", "content": content }))
            }
            EventBody::Result { content, place } if place.parent_tool_use_id.is_none() => {
                // The last whole block is what the agent says in the end.
                self.text.clone_from(content);
                let told = self.streamed.remove(&place.block);
                (!told).then(|| json!({ "type": "text", "content": content }))
            }
            EventBody::ToolUse {
                tool,
                tool_use_id,
                input,
                parent_tool_use_id,
                ..
            } => Some(with_parent(
                json!({ "type": "tool_use", "tool": tool, "input": input, "tool_use_id": tool_use_id }),
                parent_tool_use_id.as_deref(),
            )),
            EventBody::ToolResult {
                content,
                tool_use_id,
                is_error,
                parent_tool_use_id,
                ..
            } => {
                let result = json!({
                    "type": "tool_result", "output": content, "tool_use_id": tool_use_id,
                    "is_error": is_error,
                });
                let result = with_parent(result, parent_tool_use_id.as_deref());
                self.tools.push(result.clone());
                Some(result)
            }
            EventBody::Thinking {
                content,
                partial,
                place,
            } if place.parent_tool_use_id.is_none() => {
                let told = self.streamed.contains(&place.block);
                if *partial {
                    self.streamed.insert(place.block.clone());
                }
                (*partial || !told).then(|| json!({ "type": "thinking", "content": content }))
            }
            EventBody::TodoUpdate { todos, .. } => {
                Some(json!({ "type": "todo_update", "todos": todos }))
            }
            // What waits for a person is told as it is: whoever knows it can answer.
            EventBody::PermissionRequest { .. }
            | EventBody::Question { .. }
            | EventBody::PermissionResponse { .. } => serde_json::to_value(&event.body).ok(),
            EventBody::Error { content, code } => {
                self.failure = Some((content.clone(), code.clone()));
                Some(json!({ "type": "error", "error": content, "content": content, "code": code }))
            }
            EventBody::Status(status) if status.state == TurnState::Ended => {
                self.end = Some(status.clone());
                let mut told = Vec::new();
                if status.outcome == Some(Outcome::Failed) && self.failure.is_none() {
                    let words = &status.content;
                    told.push(json!({
                        "type": "error", "error": words, "content": words, "code": "model_failed",
                    }));
                }
                let usage = status.usage.unwrap_or_default();
                told.push(json!({
                    "type": "metadata",
                    "usage": tokens(&usage),
                    "cost_usd": usage.cost_usd,
                    "duration_ms": usage.duration_ms,
                    "outcome": status.outcome,
                    "model": status.model,
                }));
                return told;
            }
            _ => None,
        };
        told.into_iter().collect()
    }

    /// The whole turn, when it has ended.
    pub fn document(&self) -> Option<Value> {
        let end = self.end.as_ref()?;
        let usage = end.usage.unwrap_or_default();
        Some(json!({
            "content": self.text,
            "tool_results": self.tools,
            "usage": tokens(&usage),
            "cost_usd": usage.cost_usd,
            "duration_ms": usage.duration_ms,
            "outcome": end.outcome,
            "model": end.model,
        }))
    }

    /// The same in at most so many bytes of JSON: where that is too little, without what its tools have done.
    /// None where it is too little for what it says, or the turn has not ended.
    pub fn short_document(&self, most: usize) -> Option<Value> {
        let mut document = self.document()?;
        if document.to_string().len() > most {
            document.as_object_mut()?.remove("tool_results");
        }
        (document.to_string().len() <= most).then_some(document)
    }

    /// What went wrong, in words and as a code, where the turn has failed.
    pub fn failure(&self) -> Option<(String, String)> {
        let end = self.end.as_ref()?;
        let failed = end.outcome == Some(Outcome::Failed);
        failed.then(|| {
            let failure = self.failure.clone();
            failure.unwrap_or_else(|| (end.content.clone(), "model_failed".to_owned()))
        })
    }
}

fn with_parent(mut told: Value, parent: Option<&str>) -> Value {
    if let (Some(fields), Some(parent)) = (told.as_object_mut(), parent) {
        fields.insert("parent_tool_use_id".to_owned(), json!(parent));
    }
    told
}

fn tokens(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens,
    })
}

/// What the tools of a session do, as it happens.
#[derive(Debug, Default)]
pub struct Tools {
    /// The names of tools that have not answered yet, by the ids of their calls.
    running: HashMap<String, String>,
}

/// Calls whose names are remembered. A sandbox may claim more.
const MAX_RUNNING: usize = 1000;

impl Tools {
    /// What an event is to somebody who watches the tools.
    pub fn told(&mut self, event: &Event) -> Vec<Value> {
        match &event.body {
            EventBody::ToolUse {
                content,
                tool,
                tool_use_id,
                input,
                ..
            } => {
                if self.running.len() < MAX_RUNNING {
                    self.running.insert(tool_use_id.clone(), tool.clone());
                }
                vec![
                    json!({ "type": "tool_start", "tool": tool, "tool_use_id": tool_use_id,
                            "timestamp": event.timestamp }),
                    json!({ "type": "tool_use", "tool": tool, "tool_use_id": tool_use_id,
                            "input": input, "content": content, "timestamp": event.timestamp }),
                ]
            }
            EventBody::ToolResult {
                content,
                tool_use_id,
                is_error,
                ..
            } => {
                let kind = if *is_error {
                    "tool_error"
                } else {
                    "tool_complete"
                };
                vec![json!({
                    "type": kind, "tool": self.running.remove(tool_use_id),
                    "tool_use_id": tool_use_id, "output": content, "is_error": is_error,
                    "timestamp": event.timestamp,
                })]
            }
            EventBody::TodoUpdate { todos, .. } => {
                vec![json!({ "type": "todo_update", "todos": todos, "timestamp": event.timestamp })]
            }
            EventBody::Thinking {
                content,
                partial: false,
                ..
            } => vec![
                json!({ "type": "thinking", "content": content, "timestamp": event.timestamp }),
            ],
            EventBody::Status(status) if status.state == TurnState::Ended => {
                self.running.clear();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{SessionId, TurnId};

    fn event(seq: u64, body: Value) -> Event {
        let mut fields = json!({
            "seq": seq, "session_id": SessionId::parse("s").unwrap(), "turn_id": TurnId(1),
            "timestamp": 5, "content": "",
        });
        let all = fields.as_object_mut().unwrap();
        all.extend(body.as_object().unwrap().clone());
        serde_json::from_value(fields).unwrap()
    }

    fn turn() -> Vec<Event> {
        [
            json!({ "type": "user_message", "content": "hi", "id": "m" }),
            json!({ "type": "status", "state": "running" }),
            json!({ "type": "thinking", "content": "hm", "partial": true, "block": "t" }),
            json!({ "type": "thinking", "content": "hm", "block": "t" }),
            json!({ "type": "progress", "content": "Hel", "block": "a" }),
            json!({ "type": "progress", "content": "lo", "block": "a" }),
            json!({ "type": "result", "content": "Hello", "block": "a" }),
            json!({ "type": "tool_use", "tool": "Bash", "tool_use_id": "1", "input": {"command": "ls"} }),
            json!({ "type": "progress", "content": "from below", "block": "z", "parent_tool_use_id": "1" }),
            json!({ "type": "tool_result", "content": "no", "tool_use_id": "1", "is_error": true }),
            json!({ "type": "todo_update", "todos": [] }),
            json!({ "type": "result", "content": "Done", "block": "b" }),
            json!({ "type": "status", "state": "ended", "outcome": "completed", "usage": {
                "input_tokens": 3, "output_tokens": 4, "duration_ms": 5, "num_turns": 1 } }),
        ]
        .into_iter()
        .zip(1..)
        .map(|(body, seq)| event(seq, body))
        .collect()
    }

    fn kinds(told: &[Value]) -> Vec<&str> {
        told.iter()
            .filter_map(|told| told["type"].as_str())
            .collect()
    }

    #[test]
    fn a_document_may_have_to_be_short() {
        let mut chat = Chat::default();
        assert_eq!(chat.short_document(1000), None);
        for event in turn() {
            chat.told(&event);
        }
        let whole = chat.document().unwrap();
        let bytes = whole.to_string().len();
        assert_eq!(chat.short_document(bytes), Some(whole));
        let short = chat.short_document(bytes - 1).unwrap();
        assert!(short["content"].is_string() && short.get("tool_results").is_none());
        assert_eq!(chat.short_document(short.to_string().len() - 1), None);
    }

    #[test]
    fn a_turn_is_told_once_in_order() {
        let mut chat = Chat::default();
        let told: Vec<Value> = turn().iter().flat_map(|event| chat.told(event)).collect();
        assert_eq!(
            kinds(&told),
            [
                "thinking",
                "text",
                "text",
                "tool_use",
                "tool_result",
                "todo_update",
                "text",
                "metadata"
            ]
        );
        let text: String = told
            .iter()
            .filter(|told| told["type"] == "text")
            .filter_map(|told| told["content"].as_str())
            .collect();
        assert_eq!(text, "HelloDone");
        let document = chat.document().unwrap();
        assert_eq!(document["content"], "Done");
        assert_eq!(document["tool_results"][0]["is_error"], true);
        assert_eq!(document["usage"]["output_tokens"], 4);
        assert_eq!(chat.failure(), None);
    }

    #[test]
    fn a_failed_turn_says_why() {
        let end =
            json!({ "type": "status", "state": "ended", "outcome": "failed", "content": "Lost" });
        let mut chat = Chat::default();
        assert_eq!(chat.document(), None);
        assert_eq!(
            kinds(&chat.told(&event(1, end.clone()))),
            ["error", "metadata"]
        );
        assert_eq!(
            chat.failure(),
            Some(("Lost".to_owned(), "model_failed".to_owned()))
        );
        let mut chat = Chat::default();
        chat.told(&event(
            1,
            json!({ "type": "error", "content": "Why", "code": "timed_out" }),
        ));
        assert_eq!(kinds(&chat.told(&event(2, end))), ["metadata"]);
        assert_eq!(
            chat.failure(),
            Some(("Why".to_owned(), "timed_out".to_owned()))
        );
    }

    #[test]
    fn tools_are_told_from_start_to_end() {
        let mut tools = Tools::default();
        let told: Vec<Value> = turn().iter().flat_map(|event| tools.told(event)).collect();
        assert_eq!(
            kinds(&told),
            [
                "thinking",
                "tool_start",
                "tool_use",
                "tool_error",
                "todo_update"
            ]
        );
        assert_eq!(told[3]["tool"], "Bash");
    }
}
