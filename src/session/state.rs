//! The session's state, as clients are told it.

use std::rc::Rc;

use protocol::{Problem, TurnState};
use serde_json::{Value, json};
use worker::Method;

use super::Object;
use crate::answer::{self, Answer, internal};
use crate::container::Running;

impl Object {
    /// What a client is told when it connects.
    pub(super) fn describe(&self) -> std::result::Result<Value, Problem> {
        let failed = |error: worker::Error| internal("log", &error);
        let waiting = self.log.waiting().map_err(failed)?;
        let last_activity = self.log.last_timestamp().map_err(failed)?;
        self.with_session(|session| {
            let queue: Vec<Value> = session
                .state
                .queue
                .iter()
                .filter_map(|turn| {
                    let (id, content) = waiting.get(turn)?;
                    Some(json!({ "turn_id": turn, "id": id, "content": content }))
                })
                .collect();
            json!({
                "sessionId": session.id,
                "isRunning": session.turn_state() != TurnState::Idle,
                "lastActivity": last_activity,
                "claudeSession": {
                    "id": session.state.claude_session_id,
                    "workspacePath": protocol::options::WORKSPACE,
                    "preferredModel": session.state.model,
                },
                "queue": queue,
                "permissionMode": session.mode(),
                "permissionRules": session.state.rules,
                // Of all turns since ever, also of those whose events nobody has read yet.
                "spent": session.state.spent,
                "permissionRequests": Self::open_requests(session),
            })
        })
    }

    /// The whole state, in the form of the earlier system.
    pub(super) async fn state(self: &Rc<Self>) -> Answer {
        let history = self
            .log
            .history()
            .map_err(|error| internal("log", &error))?;
        let alive = match self.sandbox() {
            Ok(sandbox) => {
                let health = sandbox.running_agent(Method::Get, "/", None).await;
                matches!(health, Ok(Running::Answer(_)))
            }
            Err(_) => false,
        };
        let mut state = self.describe()?;
        if let Some(fields) = state.as_object_mut() {
            fields.insert("messages".to_owned(), history.messages.into());
            fields.insert(
                "containerState".to_owned(),
                json!({ "isActive": alive, "lastHeartbeat": if alive { worker::Date::now().as_millis() } else { history.last } }),
            );
            if let Some(claude) = fields
                .get_mut("claudeSession")
                .and_then(Value::as_object_mut)
            {
                claude.insert("lastCommand".to_owned(), history.last_command.into());
                claude.insert("sessionFiles".to_owned(), json!(history.files));
                claude.insert(
                    "activeTools".to_owned(),
                    json!(history.active_tools.values().collect::<Vec<_>>()),
                );
            }
        }
        answer::json(200, &state)
    }
}
