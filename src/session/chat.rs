//! Turns and tools as clients of the platform family read them, from the session's log.

use std::rc::Rc;

use ::session::chat::{Chat, Tools};
use access::Pass;
use futures_util::stream;
use protocol::{Event, Problem, ProblemKind};
use serde_json::{Value, json};

use super::streams::{LogReader, TurnReader, stream_out};
use super::{Form, Object, Said};
use crate::answer::{self, Answer, internal};

/// What ends a chat's stream.
const DONE: &str = "data: [DONE]\n\n";

/// Objects of one event as a stream has them. The last of them carries the event's id: a client that has
/// it has all of them.
fn write(seq: u64, told: &[Value]) -> String {
    let mut written = String::new();
    for (place, value) in told.iter().enumerate() {
        if place + 1 == told.len() {
            written += &format!("id: {seq}\n");
        }
        written += &format!("data: {value}\n\n");
    }
    written
}

impl Object {
    /// A turn as it happens, from the event after `after`, and what ends it.
    pub(super) fn chat(self: &Rc<Self>, pass: Pass, said: Said, after: u64) -> Answer {
        // It is read from its begin, whatever of it is told.
        let reader = TurnReader::new(Rc::clone(self), said, 0);
        let chat = Some((reader, Chat::default(), pass));
        let pieces = stream::try_unfold(chat, move |state| async move {
            let Some((mut reader, mut chat, pass)) = state else {
                return Ok::<_, worker::Error>(None);
            };
            let events = reader.next().await?;
            if !reader.log.object.holds(&pass) {
                return Ok(None);
            }
            let Some(events) = events else {
                return Ok(Some((DONE.to_owned(), None)));
            };
            let mut written = String::new();
            if events.is_empty() {
                written.push_str(": ping\n\n");
            }
            for (event, _) in events {
                let told = chat.told(&event);
                if event.seq > after {
                    written += &write(event.seq, &told);
                }
            }
            Ok(Some((written, Some((reader, chat, pass)))))
        });
        stream_out(Form::ChatSse, &[], pieces)
    }

    /// A turn as one document, when it has ended.
    pub(super) async fn chat_at_the_end(self: &Rc<Self>, said: Said) -> Answer {
        let chat = self.read_chat(said).await?;
        if let Some((words, code)) = chat.failure() {
            let kind = serde_json::from_value(code.into()).unwrap_or(ProblemKind::ModelFailed);
            return Err(Problem::new(kind, words));
        }
        let mut document = chat.document().ok_or_else(|| internal("turn", &"no end"))?;
        let session_id = self.with_session(|session| session.id.clone())?;
        if let Some(fields) = document.as_object_mut() {
            fields.insert("session_id".to_owned(), json!(session_id));
            fields.insert("turn_id".to_owned(), json!(said.turn));
        }
        answer::json(200, &document)
    }

    /// What the tools do after the event `from`, for as long as somebody listens.
    pub(super) fn tools(self: &Rc<Self>, pass: Pass, from: u64) -> Answer {
        let reader = LogReader {
            object: Rc::clone(self),
            from,
        };
        let state = (reader, Tools::default(), pass);
        let pieces = stream::try_unfold(state, |(mut reader, mut tools, pass)| async move {
            let page = reader.next().await?;
            if !reader.object.holds(&pass) {
                return Ok::<_, worker::Error>(None);
            }
            let mut written = String::new();
            if page.events.is_empty() {
                written.push_str("data: {\"type\":\"ping\"}\n\n");
            }
            for (seq, line) in &page.events {
                let event: Event = serde_json::from_str(line)?;
                written += &write(*seq, &tools.told(&event));
            }
            Ok(Some((written, (reader, tools, pass))))
        });
        stream_out(Form::ToolsSse, &[], pieces)
    }

    /// The session as the platform's clients see it.
    pub(super) async fn describe_launch(self: &Rc<Self>) -> Answer {
        let status = self.true_status().await?;
        let agent = self.agents.get();
        let config = agent.as_ref().map(|agent| &agent.config);
        let active_at = self.active_at();
        let description = self.with_session(|session| {
            json!({
                "session_id": session.id,
                "agent_id": session.id,
                "config_id": config.map(|config| &config.id),
                "title": session.state.title,
                "status": status,
                "provider": self.provider_name(),
                "created_at": answer::time(session.state.began_at),
                "last_active": answer::time(active_at),
                "model": session.state.model,
                "permission_mode": session.mode(),
                "turns": session.state.last_turn,
                "forked_from": session.state.forked_from,
                "parent": session.state.parent.as_ref().map(|parent| &parent.session_id),
                "children": session.state.children,
                "config": config,
            })
        })?;
        answer::json(200, &description)
    }
}
