//! What the agent asks, and what people answer: requests for permission, plans, and questions.
//!
//! A request belongs to the current turn and is kept in the session's state, so that any client can
//! answer it, whenever it comes. It ends exactly once, with one `permission_response` event: the first
//! answer counts. What was answered is kept until the agent has heard it.

use protocol::event::{Answered, Asked, Status, cut};
use protocol::permission::is_rule;
use protocol::{
    Answer, Behavior, Decision, EventBody, PermissionMode, Problem, ProblemKind, TurnId, Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Effect;
use crate::step::Stepping;

/// Milliseconds that a request waits for an answer, where the deployment does not say.
pub const DEFAULT_PATIENCE: u64 = 10 * 60 * 1000;

/// Requests that may be open, or whose answers the agent has not heard.
pub const MAX_OPEN: usize = 32;

/// Rules of one session.
pub const MAX_RULES: usize = 100;

/// Rules that one request may suggest.
const MAX_SUGGESTED: usize = 10;

/// Bytes of a request's line of words, of a tool's name, of the agent's name for a request.
const MAX_CONTENT: usize = 4 * 1024;
const MAX_NAME: usize = 200;

/// Bytes of a request's input as JSON.
const MAX_INPUT: usize = 300 * 1024;

/// The tool by which the agent asks whether its plan is to be carried out.
const PLAN: &str = "ExitPlanMode";

/// A request that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// As clients name it.
    pub request_id: String,
    /// As the agent names it.
    pub agent_id: String,
    pub turn: TurnId,
    /// Of its event.
    pub seq: u64,
    pub kind: AskKind,
    pub tool: String,
    /// The call in a line.
    pub content: String,
    pub rules: Vec<String>,
    /// Milliseconds since the epoch.
    pub expires_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskKind {
    Permission,
    Plan,
    Question,
}

/// An answer that the agent may not have heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    pub request_id: String,
    pub agent_id: String,
    pub turn: TurnId,
    pub verdict: Verdict,
}

impl Stepping<'_> {
    /// Takes a request of the agent's. One that can't be the agent-server's is dropped: more than it
    /// ever has open, under a name that is open already, or while the turn is being stopped.
    pub fn ask(&mut self, turn: TurnId, body: EventBody) {
        let state = &mut self.session.state;
        let stopping = state.current.as_ref().is_none_or(|now| now.interrupted);
        let (agent_id, kind, tool, mut content, input, mut rules, mut asked) = match body {
            EventBody::PermissionRequest {
                content,
                request_id,
                tool,
                input,
                rules,
                asked,
            } => {
                let kind = match tool == PLAN {
                    true => AskKind::Plan,
                    false => AskKind::Permission,
                };
                (request_id, kind, tool, content, input, rules, asked)
            }
            EventBody::Question {
                content,
                request_id,
                input,
                asked,
            } => {
                let tool = "AskUserQuestion".to_owned();
                let kind = AskKind::Question;
                (request_id, kind, tool, content, input, Vec::new(), asked)
            }
            _ => return,
        };
        let known = state.open.iter().map(|open| &open.agent_id);
        let mut known = known.chain(state.untold.iter().map(|untold| &untold.agent_id));
        let under_way = state.open.len() + state.untold.len();
        if stopping
            || under_way >= 2 * MAX_OPEN
            || agent_id.is_empty()
            || agent_id.len() > MAX_NAME
            || tool.len() > MAX_NAME
            || known.any(|known| *known == agent_id)
        {
            return;
        }
        cut(&mut content, MAX_CONTENT);
        rules.retain(|rule| is_rule(rule));
        rules.truncate(MAX_SUGGESTED);
        for text in [&mut asked.tool_use_id, &mut asked.reason]
            .into_iter()
            .flatten()
        {
            cut(text, MAX_NAME);
        }
        let input = match input.to_string().len() {
            0..=MAX_INPUT => input,
            bytes => json!({ "cut": true, "bytes": bytes }),
        };
        state.last_ask += 1;
        let request_id = format!("ask-{}", state.last_ask);
        let expires_at = self.now.saturating_add(self.session.patience);
        let asked = Asked {
            expires_at,
            ..asked
        };
        state.open.push(Open {
            request_id: request_id.clone(),
            agent_id,
            turn,
            seq: self.session.position.seq + 1,
            kind,
            tool: tool.clone(),
            content: content.clone(),
            rules: rules.clone(),
            expires_at,
        });
        let named = request_id.clone();
        let body = match kind {
            AskKind::Question => EventBody::Question {
                content,
                request_id,
                input,
                asked,
            },
            AskKind::Permission | AskKind::Plan => EventBody::PermissionRequest {
                content,
                request_id,
                tool,
                input,
                rules,
                asked,
            },
        };
        self.log(Some(turn), body);
        if under_way >= MAX_OPEN {
            let message = format!(
                "Not allowed: {MAX_OPEN} requests wait for answers already. Ask for one thing at a time."
            );
            self.close(
                &named,
                Decision::Deny,
                "Denied: too many requests wait".to_owned(),
                Answered::default(),
                Some(Verdict::Deny { message }),
            );
        }
    }

    /// Takes a person's answer.
    pub fn answer(&mut self, request_id: &str, answer: Answer, by: String) -> Result<(), Problem> {
        let state = &self.session.state;
        let Some(open) = state.open.iter().find(|open| open.request_id == request_id) else {
            return Err(not_open(request_id, state.last_ask));
        };
        let (decision, content, verdict) = decide(open, &answer)?;
        let mode = match &verdict {
            Verdict::Allow {
                permission_mode, ..
            } => *permission_mode,
            Verdict::Deny { .. } => None,
        };
        let mut added = Vec::new();
        if decision == Decision::AllowSession {
            let is_new = |rule: &&String| !state.rules.contains(rule);
            added = open.rules.iter().filter(is_new).cloned().collect();
            if state.rules.len() + added.len() > MAX_RULES {
                return Err(Problem::new(
                    ProblemKind::TooManyRequests,
                    format!(
                        "the session has {MAX_RULES} rules already; remove some, or allow it once"
                    ),
                ));
            }
        }
        let rules = match decision {
            Decision::AllowSession => open.rules.clone(),
            _ => Vec::new(),
        };
        let state = &mut self.session.state;
        state.rules.extend(added);
        if mode.is_some() {
            state.mode = mode;
        }
        let answered = Answered {
            message: answer.message,
            answers: answer.answers,
            updated_input: answer.updated_input,
            rules,
            permission_mode: mode,
            by,
        };
        self.close(request_id, decision, content, answered, Some(verdict));
        Ok(())
    }

    /// Denies what nobody has answered in time.
    pub fn expire(&mut self) {
        let now = self.now;
        let late = |open: &&crate::Open| open.expires_at <= now;
        let late: Vec<_> = self
            .session
            .state
            .open
            .iter()
            .filter(late)
            .cloned()
            .collect();
        let minutes = self.session.patience.div_ceil(60_000);
        for open in late {
            let words = match open.kind {
                AskKind::Permission => "Denied: nobody answered in time",
                AskKind::Plan => "Not approved: nobody answered in time",
                AskKind::Question => "Not answered in time",
            };
            let message = match open.kind {
                AskKind::Question => format!(
                    "Nobody has answered within {minutes} min. Go on with what you think is best, or end your turn and say what you need to know."
                ),
                AskKind::Permission | AskKind::Plan => format!(
                    "Nobody has answered within {minutes} min, so this was not allowed. Go on without it, or end your turn and say what you need."
                ),
            };
            self.close(
                &open.request_id,
                Decision::Expired,
                words.to_owned(),
                Answered::default(),
                Some(Verdict::Deny { message }),
            );
        }
    }

    /// The agent does not ask this any more.
    pub fn withdraw(&mut self, agent_id: &str) {
        let mut open = self.session.state.open.iter();
        if let Some(open) = open.find(|open| open.agent_id == agent_id) {
            let request_id = open.request_id.clone();
            let words = "Not asked any more";
            self.end_ask(&request_id, words);
        }
    }

    /// Nothing is asked any more.
    pub fn withdraw_all(&mut self, words: &str) {
        while let Some(open) = self.session.state.open.first() {
            let request_id = open.request_id.clone();
            self.end_ask(&request_id, words);
        }
    }

    fn end_ask(&mut self, request_id: &str, words: &str) {
        let answered = Answered::default();
        self.close(
            request_id,
            Decision::Withdrawn,
            words.to_owned(),
            answered,
            None,
        );
    }

    /// Ends a request, with its one event, and has the agent told where there is something to tell.
    fn close(
        &mut self,
        request_id: &str,
        behavior: Decision,
        content: String,
        answered: Answered,
        verdict: Option<Verdict>,
    ) {
        let state = &mut self.session.state;
        let Some(place) = state
            .open
            .iter()
            .position(|open| open.request_id == request_id)
        else {
            return;
        };
        let open = state.open.remove(place);
        if let Some(verdict) = verdict {
            state.untold.push(Untold {
                request_id: open.request_id.clone(),
                agent_id: open.agent_id,
                turn: open.turn,
                verdict,
            });
            self.step.effects.push(Effect::Answer {
                request_id: open.request_id.clone(),
            });
        }
        let body = EventBody::PermissionResponse {
            content,
            request_id: open.request_id,
            behavior,
            answered,
        };
        self.log(Some(open.turn), body);
    }

    pub fn answered(&mut self, request_id: &str) {
        let untold = &mut self.session.state.untold;
        untold.retain(|untold| untold.request_id != request_id);
    }

    pub fn set_mode(&mut self, mode: PermissionMode) {
        if self.session.mode() == mode && self.session.state.mode.is_some() {
            return;
        }
        self.session.state.mode = Some(mode);
        let body = EventBody::Status(Status {
            permission_mode: Some(mode),
            ..Status::new(
                self.session.turn_state(),
                format!("The permission mode is now {}", mode.as_str()),
            )
        });
        self.log(None, body);
        self.tell_settings();
    }

    pub fn remove_rule(&mut self, rule: &str) -> Result<(), Problem> {
        let rules = &mut self.session.state.rules;
        let Some(place) = rules.iter().position(|known| known == rule) else {
            return Err(Problem::new(
                ProblemKind::NotFound,
                "the session has no such rule",
            ));
        };
        let rule = rules.remove(place);
        let body = EventBody::Status(Status {
            rules: Some(rules.clone()),
            ..Status::new(
                self.session.turn_state(),
                format!("Is asked for again: {rule}"),
            )
        });
        self.log(None, body);
        self.tell_settings();
        Ok(())
    }

    /// Has the running turn told what it goes on with.
    pub fn tell_settings(&mut self) {
        if let Some(current) = &self.session.state.current {
            let settings = &mut self.session.state.settings;
            settings.changes += 1;
            settings.untold = true;
            self.step.effects.push(Effect::Settings {
                turn: current.id,
                change: settings.changes,
            });
        }
    }

    pub fn settings_heard(&mut self, change: u64) {
        let settings = &mut self.session.state.settings;
        settings.untold &= settings.changes != change;
    }
}

/// What an answer means for this request, in words and for the agent.
fn decide(open: &Open, answer: &Answer) -> Result<(Decision, String, Verdict), Problem> {
    let refuse = |field: &str, words: &str| Err(Problem::bad_request(words).at(field));
    if answer.behavior == Behavior::Deny {
        let (words, message) = match open.kind {
            AskKind::Permission => ("Denied", "The person did not allow this."),
            AskKind::Plan => (
                "Keep planning",
                "The person wants you to keep planning, and not to carry this plan out yet.",
            ),
            AskKind::Question => ("Not answered", "The person did not want to answer this."),
        };
        let said = answer.message.as_deref();
        let content = said.map_or_else(|| words.to_owned(), |said| format!("{words}: {said}"));
        let message = match said {
            Some(said) => format!("{message} They said: {said}"),
            None => message.to_owned(),
        };
        return Ok((Decision::Deny, content, Verdict::Deny { message }));
    }
    let plans = matches!(open.kind, AskKind::Plan);
    match (open.kind, &answer.answers) {
        (AskKind::Question, None) => {
            return refuse("answers", "this is a question: send answers, or deny it");
        }
        (AskKind::Question, Some(answers)) if answers.is_empty() => {
            return refuse("answers", "there is no answer among the answers");
        }
        (AskKind::Permission | AskKind::Plan, Some(_)) => {
            return refuse("answers", "this is no question: allow or deny it");
        }
        _ => {}
    }
    match answer.mode {
        Some(_) if !plans => {
            return refuse(
                "mode",
                "only a plan's approval takes a mode; send set_permission_mode",
            );
        }
        Some(PermissionMode::Plan | PermissionMode::BypassPermissions) => {
            return refuse("mode", "a plan is carried out in acceptEdits or default");
        }
        _ => {}
    }
    if answer.updated_input.is_some() && open.kind != AskKind::Permission {
        return refuse("updated_input", "only a tool's input can be changed");
    }
    let for_session = answer.behavior == Behavior::AllowSession;
    if for_session && open.rules.is_empty() {
        return refuse("behavior", "there is no rule for this; allow it once");
    }
    if for_session && answer.updated_input.is_some() {
        return refuse("updated_input", "a changed input is allowed once");
    }
    let verdict = Verdict::Allow {
        updated_input: answer.updated_input.clone().filter(Value::is_object),
        answers: answer.answers.clone(),
        permission_mode: plans.then(|| answer.mode.unwrap_or(PermissionMode::Default)),
    };
    let (decision, words) = match open.kind {
        AskKind::Question => (Decision::Answer, "Answered".to_owned()),
        AskKind::Plan => (Decision::Allow, "Approved".to_owned()),
        AskKind::Permission if for_session => (
            Decision::AllowSession,
            format!("Allowed for this session: {}", open.rules.join(", ")),
        ),
        AskKind::Permission if answer.updated_input.is_some() => {
            (Decision::Allow, "Allowed, changed".to_owned())
        }
        AskKind::Permission => (Decision::Allow, "Allowed".to_owned()),
    };
    Ok((decision, words, verdict))
}

/// A request that was never made is not found; one that is over is a conflict.
fn not_open(request_id: &str, last: u64) -> Problem {
    let number = request_id.strip_prefix("ask-").and_then(|n| n.parse().ok());
    if number.is_some_and(|number: u64| (1..=last).contains(&number)) {
        return Problem::new(
            ProblemKind::Conflict,
            "this was answered already, or is not asked any more; the log says what became of it",
        );
    }
    Problem::new(
        ProblemKind::NotFound,
        "the agent has not asked this; request_id is that of a permission_request or question",
    )
}

#[cfg(test)]
mod tests;
