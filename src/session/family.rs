//! The sessions that this one's agent has launched, and the one that has launched this: who they are, what they
//! have cost, and what their agents have answered.

use std::rc::Rc;
use std::time::Duration;

use ::session::chat::Chat;
use ::session::{Input, Parent};
use agents::Orchestration;
use protocol::{Owner, Problem, ProblemKind, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::streams::TurnReader;
use super::{Object, Said};
use crate::answer::{self, Answer, internal};

/// Bytes of an answer that whoever waits for an agent is told, as JSON.
const MAX_ANSWER: usize = 256 * 1024;

/// What is told instead of a longer one.
const TOO_LONG: &str =
    "its answer is too long to be told here; ask it for a shorter one, or to write it into a file";

/// How a session stands among those that work together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Family {
    pub owner: Option<Owner>,
    pub parent: Option<Parent>,
    /// What its agent may do with others; none: nothing.
    pub orchestration: Option<Orchestration>,
    /// How many generations there may be below it.
    pub levels: u8,
    pub children: Vec<SessionId>,
    /// What its own calls have cost, as far as it is known.
    pub cost_usd: f64,
}

/// A session that an agent has launched.
#[derive(Debug, Serialize, Deserialize)]
pub struct Child {
    pub id: SessionId,
    pub config_id: String,
}

impl Object {
    /// How the session stands among those that work together.
    ///
    /// # Errors
    /// 404 where nobody has begun it.
    pub(super) fn family(&self) -> Result<Family, Problem> {
        let agent = self.agents.get();
        let orchestration = agent.and_then(|agent| agent.config.orchestration.clone());
        let owner = self.owner();
        let family = self.with_session(|session| {
            let depth = orchestration.as_ref().map_or(0, |it| it.max_depth);
            let parent = session.state.parent.clone();
            let spent = session.state.spent.unwrap_or_default();
            Family {
                owner,
                levels: parent.as_ref().map_or(depth, |it| it.levels.min(depth)),
                parent,
                orchestration,
                children: session.state.children.clone(),
                cost_usd: spent.cost_usd,
            }
        });
        family.map_err(|_| Problem::new(ProblemKind::NotFound, "there is no such session"))
    }

    /// Writes down that the agent is about to launch another one, which counts from now on.
    ///
    /// # Errors
    /// 429 where it has launched as many as it may.
    pub(super) fn take_child(self: &Rc<Self>, child: SessionId) -> Result<(), Problem> {
        let family = self.family()?;
        let most = family.orchestration.map_or(0, |it| it.max_sessions);
        if family.children.len() as u64 >= most {
            return Err(Problem::new(
                ProblemKind::TooManyRequests,
                format!("this agent may launch {most} sessions, and has; send messages to those"),
            ));
        }
        self.take(vec![Input::Launching { child }]).map(drop)
    }

    /// Writes down that a session which was taken as a child has begun.
    ///
    /// # Errors
    /// Where the storage fails.
    pub(super) fn child_has_begun(self: &Rc<Self>, child: Child) -> Result<(), Problem> {
        let Child { id, config_id } = child;
        let launched = Input::Launched {
            child: id,
            config_id,
        };
        self.take(vec![launched]).map(drop)
    }

    /// Forgets a child that has not begun.
    ///
    /// # Errors
    /// Where the storage fails.
    pub(super) fn give_child_up(self: &Rc<Self>, child: SessionId) -> Result<(), Problem> {
        self.take(vec![Input::NotLaunched { child }]).map(drop)
    }

    /// Waits until there is nothing to do any more, or so long. Tells where the session stands, and what its
    /// agent has answered last.
    pub(super) async fn wait(self: &Rc<Self>, at_most: Duration) -> Answer {
        let until = worker::Date::now().as_millis() + at_most.as_millis() as u64;
        let is_done = loop {
            let done = self.with_session(|session| {
                session.state.current.is_none() && session.state.queue.is_empty()
            })?;
            let left = until.saturating_sub(worker::Date::now().as_millis());
            if done || left == 0 {
                break done;
            }
            self.followers
                .grown_within(Duration::from_millis(left))
                .await;
        };
        let (id, last, title) = self.with_session(|session| {
            let state = &session.state;
            (session.id.clone(), state.last_turn, state.title.clone())
        })?;
        let mut told = json!({
            "session_id": id, "title": title, "status": self.true_status().await?, "done": is_done,
        });
        let said = self
            .log
            .said(last)
            .map_err(|error| internal("log", &error))?;
        if let (true, Some(said), Some(fields)) = (is_done, said, told.as_object_mut()) {
            let chat = self.read_chat(said).await?;
            fields.insert("turn_id".to_owned(), json!(said.turn));
            match (chat.failure(), chat.short_document(MAX_ANSWER)) {
                (Some((words, _)), _) => fields.insert("error".to_owned(), json!(words)),
                (None, Some(document)) => fields.insert("answer".to_owned(), document),
                (None, None) if chat.document().is_some() => {
                    fields.insert("error".to_owned(), json!(TOO_LONG))
                }
                (None, None) => None,
            };
        }
        answer::json(200, &told)
    }

    /// A turn, read to its end.
    pub(super) async fn read_chat(self: &Rc<Self>, said: Said) -> Result<Chat, Problem> {
        let mut reader = TurnReader::new(Rc::clone(self), said, 0);
        let mut chat = Chat::default();
        let failed = |error: worker::Error| internal("log", &error);
        while let Some(events) = reader.next().await.map_err(failed)? {
            for (event, _) in &events {
                chat.told(event);
            }
        }
        Ok(chat)
    }
}
