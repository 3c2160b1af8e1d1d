//! The servers of tools: which of them are not there.

use std::collections::BTreeMap;

use protocol::ProblemKind;
use protocol::event::EventBody;

use super::end::Cause;
use super::tools::one_line;
use crate::wire::Init;

/// Servers that are looked at, and characters of what is told of each.
const MAX_SERVERS: usize = 50;
const MAX_NAME: usize = 64;
const MAX_WORDS: usize = 300;

/// What was told of each server that is not there.
#[derive(Debug, Default)]
pub struct Servers(BTreeMap<String, String>);

impl Servers {
    /// The events of those that are not there, each once until that changes. The turn goes on without
    /// them.
    pub fn changed(&mut self, init: &Init) -> Vec<EventBody> {
        let mut now = BTreeMap::new();
        for server in init.mcp_servers.iter().flatten().take(MAX_SERVERS) {
            let words = match server.status.as_str() {
                "connected" | "disabled" => continue,
                "pending" => "has not started yet; the turn goes on without its tools".to_owned(),
                "failed" => "did not start; the turn goes on without its tools".to_owned(),
                "needs-auth" => {
                    "wants to know who asks; the turn goes on without its tools".to_owned()
                }
                other => format!("is not there: {}", one_line(other, MAX_NAME)),
            };
            now.insert(one_line(&server.name, MAX_NAME), words);
        }
        for error in init.mcp_server_errors.iter().flatten().take(MAX_SERVERS) {
            let words = format!("can't be used: {}", one_line(&error.message, MAX_WORDS));
            now.insert(one_line(&error.name, MAX_NAME), words);
        }
        let new = now
            .iter()
            .filter(|(name, words)| self.0.get(*name) != Some(words));
        let events = new.map(|(name, words)| {
            let content = format!("The server of tools {name:?} {words}");
            Cause::new(ProblemKind::SandboxFailed, content).event()
        });
        let events = events.collect();
        self.0 = now;
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(line: &str) -> Init {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn what_is_not_there_is_told_once() {
        let mut servers = Servers::default();
        let line = r#"{"session_id":"s","mcp_servers":[
            {"name":"a","status":"connected"},{"name":"b","status":"failed"},
            {"name":"c","status":"pending"},{"name":"d","status":"tomorrow"}],
            "mcp_server_errors":[{"name":"e","message":"no url"}]}"#;
        let told = servers.changed(&init(line));
        let told: Vec<String> = told
            .into_iter()
            .map(|event| match event {
                EventBody::Error { content, code } => format!("{code}: {content}"),
                other => panic!("{other:?}"),
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        sandbox_failed: The server of tools "b" did not start; the turn goes on without its tools
        sandbox_failed: The server of tools "c" has not started yet; the turn goes on without its tools
        sandbox_failed: The server of tools "d" is not there: tomorrow
        sandbox_failed: The server of tools "e" can't be used: no url
        "#);
        assert!(servers.changed(&init(line)).is_empty());
        // It has come, and is gone again.
        let there = r#"{"session_id":"s","mcp_servers":[{"name":"b","status":"connected"}]}"#;
        assert!(servers.changed(&init(there)).is_empty());
        assert_eq!(servers.changed(&init(line)).len(), 4);
        let strange = r#"{"session_id":"s","mcp_servers":{"b":1},"mcp_server_errors":"x"}"#;
        assert!(servers.changed(&init(strange)).is_empty());
    }
}
