//! One step of a session: an input in, events and effects out.

use protocol::event::{Status, TurnState, Usage, cut};
use protocol::sandbox::{Record, TurnEnd};
use protocol::{
    Answer, EgressDecision, Event, EventBody, Outcome, PermissionMode, Problem, ProblemKind,
    SessionId, TurnId,
};

use crate::{Current, MAX_QUEUE, Phase, Session, Spent};

/// How often a turn is begun anew whose sandbox is lost.
const MAX_RESTARTS: u32 = 2;

/// Bytes of a turn's closing words, and of a name, that a sandbox may send.
const MAX_END: usize = 8 * 1024;
const MAX_NAME: usize = 200;

/// Bytes of a host's name, and hosts that are told of in a turn.
const MAX_HOST: usize = 255;
const MAX_HOSTS: usize = 100;

/// What happens to a session.
#[derive(Debug, Clone)]
pub enum Input {
    /// Somebody says something. A message that the session has already is not given to it again.
    Message {
        /// Unique within the session.
        id: String,
        content: String,
        model: Option<String>,
        mode: Option<PermissionMode>,
    },
    /// Stop a turn: the one named, or the one that is under way. Asked twice, it ends at once.
    Interrupt {
        turn: Option<TurnId>,
    },
    SetModel {
        model: String,
    },
    SetMode {
        mode: PermissionMode,
    },
    RemoveRule {
        rule: String,
    },
    /// Somebody answers a request of the agent's.
    Answer {
        request_id: String,
        answer: Answer,
        /// Who does, for people.
        by: String,
    },
    /// Time has passed: the requests that nobody has answered in time are denied.
    Expire,
    /// The agent has heard an answer, or asks that no more.
    Answered {
        request_id: String,
    },
    /// The agent has heard the settings as they were after so many changes.
    SettingsHeard {
        change: u64,
    },
    /// The agent says something about a turn.
    Record {
        turn: TurnId,
        record: Record,
        /// With the end of the turn, what the router has booked for the session until now.
        spent: Option<Spent>,
    },
    /// A turn can't go on.
    Lost {
        turn: TurnId,
        problem: Problem,
        /// Its sandbox is gone, with all that ran in it: another one may begin it anew.
        sandbox_gone: bool,
    },
    /// A turn runs in a new sandbox, onto whose disk the files of the session were restored.
    Restored {
        turn: TurnId,
        /// The save that was restored; none where no whole one was left.
        save: Option<u64>,
        /// Why it is not the last one.
        damage: Option<String>,
    },
    /// What a turn has left on the sandbox's disk is saved, or can't be. Where the sandbox is gone
    /// before, the turn is [`Lost`](Self::Lost).
    Saved {
        turn: TurnId,
        /// The number of the save that holds it; none where nothing is saved at all.
        save: std::result::Result<Option<u64>, Problem>,
    },
    /// Something in the sandbox wanted to reach a host.
    Egress {
        host: String,
        decision: EgressDecision,
    },
    /// The agent is about to begin a session of another agent: it is one of its own from now on.
    Launching {
        child: SessionId,
    },
    /// That session has not begun, and never will.
    NotLaunched {
        child: SessionId,
    },
    /// The agent has begun a session of another agent.
    Launched {
        child: SessionId,
        /// The configuration of the other agent.
        config_id: String,
    },
    /// The agent has heard that a turn is to stop, or is gone itself.
    Stopped {
        turn: TurnId,
    },
    /// What the router has booked for the session until now, while a turn goes on.
    Spent {
        turn: TurnId,
        spent: Spent,
    },
    /// What the router had booked under the session's name before its first turn.
    Booked {
        spent: Spent,
    },
}

/// What is to be done, after the step's events are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Give the turn to the agent, and its records back to the session.
    Start { turn: TurnId },
    /// Ask the agent for the records after `after`.
    Attach { turn: TurnId, after: u64 },
    /// Tell the agent to stop the turn, or never to start it.
    Interrupt { turn: TurnId },
    /// Tell the agent an answer, which is among the [`State`](crate::State)'s untold.
    Answer { request_id: String },
    /// Tell the agent what its turn goes on with.
    Settings { turn: TurnId, change: u64 },
    /// Tell the agent that it may forget a turn's records up to `n`.
    Acknowledge { turn: TurnId, n: u64 },
    /// Save the sandbox's disk, and say so with [`Input::Saved`].
    Save { turn: TurnId },
}

/// What a step leaves.
#[derive(Debug, Default, PartialEq)]
pub struct Step {
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
}

impl Session {
    /// Takes one input at the time `now` (milliseconds since the epoch).
    ///
    /// # Errors
    /// A problem for whoever sent the input; nothing has changed then.
    pub fn step(&mut self, input: Input, now: u64) -> Result<Step, Problem> {
        let mut step = Stepping {
            session: self,
            now,
            step: Step::default(),
        };
        match input {
            Input::Message {
                id,
                content,
                model,
                mode,
            } => step.message(id, content, model, mode)?,
            Input::Interrupt { turn } => step.interrupt(turn),
            Input::SetModel { model } => step.set_model(model),
            Input::SetMode { mode } => step.set_mode(mode),
            Input::RemoveRule { rule } => step.remove_rule(&rule)?,
            Input::Answer {
                request_id,
                answer,
                by,
            } => step.answer(&request_id, answer, by)?,
            Input::Expire => step.expire(),
            Input::Answered { request_id } => step.answered(&request_id),
            Input::SettingsHeard { change } => step.settings_heard(change),
            Input::Record {
                turn,
                record,
                spent,
            } => step.record(turn, record, spent),
            Input::Lost {
                turn,
                problem,
                sandbox_gone,
            } => step.lost(turn, problem, sandbox_gone),
            Input::Restored { turn, save, damage } => step.restored(turn, save, damage),
            Input::Saved { turn, save } => step.saved(turn, save),
            Input::Egress { host, decision } => step.egress(host, decision),
            Input::Launching { child } => step.launching(child),
            Input::NotLaunched { child } => step.session.state.children.retain(|it| *it != child),
            Input::Launched { child, config_id } => step.launched(child, config_id),
            Input::Stopped { turn } => step.stopped(turn),
            Input::Spent { turn, spent } => step.spending(turn, spent),
            Input::Booked { spent } => {
                step.session.state.spent.get_or_insert(spent);
            }
        }
        Ok(step.step)
    }
}

pub(crate) struct Stepping<'a> {
    pub session: &'a mut Session,
    pub now: u64,
    pub step: Step,
}

impl Stepping<'_> {
    fn message(
        &mut self,
        id: String,
        content: String,
        model: Option<String>,
        mode: Option<PermissionMode>,
    ) -> Result<(), Problem> {
        if self.session.state.queue.len() >= MAX_QUEUE {
            return Err(Problem::new(
                ProblemKind::TooManyRequests,
                format!(
                    "{MAX_QUEUE} messages are waiting already; wait for one to end, or remove one"
                ),
            ));
        }
        self.session.state.last_turn += 1;
        let turn = TurnId(self.session.state.last_turn);
        if model.is_some() {
            self.session.state.model = model;
        }
        if self.session.state.title.is_empty() {
            self.session.state.title = title(&content);
        }
        if let Some(mode) = mode {
            self.session.state.waiting_modes.insert(turn, mode);
        }
        let position =
            self.session.state.queue.len() as u64 + u64::from(self.session.state.current.is_some());
        self.log(Some(turn), EventBody::UserMessage { content, id });
        self.log(
            Some(turn),
            EventBody::Status(Status {
                position: Some(position),
                ..Status::new(
                    TurnState::Queued,
                    match position {
                        0 => "Queued".to_owned(),
                        1 => "Queued behind one turn".to_owned(),
                        more => format!("Queued behind {more} turns"),
                    },
                )
            }),
        );
        self.session.state.queue.push_back(turn);
        self.start_next();
        Ok(())
    }

    fn interrupt(&mut self, turn: Option<TurnId>) {
        let current = self.session.state.current.clone();
        match (turn, current) {
            (None, None) => {}
            (None, Some(current)) => self.interrupt_current(&current),
            (Some(turn), Some(current)) if current.id == turn => self.interrupt_current(&current),
            (Some(turn), _) => {
                let waiting = &mut self.session.state.queue;
                if let Some(place) = waiting.iter().position(|waiting| *waiting == turn) {
                    waiting.remove(place);
                    self.session.state.waiting_modes.remove(&turn);
                    self.log_end(turn, interrupted("Removed from the queue"), None);
                }
            }
        }
    }

    fn interrupt_current(&mut self, current: &Current) {
        if current.phase == Phase::Saving {
            // The agent is done with it; what is left on the disk is saved by the next.
            self.end_saved(None);
            return;
        }
        self.stop_agent(current.id);
        if current.phase == Phase::Starting || current.interrupted {
            // There is nothing to wait for, or it did not help: whatever still comes is ignored.
            self.end_current(interrupted("Interrupted"), None);
        } else {
            if let Some(current) = &mut self.session.state.current {
                current.interrupted = true;
            }
            let body = EventBody::Status(Status::new(TurnState::Running, "Interrupting"));
            self.log(Some(current.id), body);
            self.withdraw_all("Not asked any more: the turn is being stopped");
        }
    }

    fn stop_agent(&mut self, turn: TurnId) {
        self.session.state.to_stop = Some(turn);
        self.step.effects.push(Effect::Interrupt { turn });
    }

    fn stopped(&mut self, turn: TurnId) {
        self.session.state.to_stop.take_if(|told| *told == turn);
    }

    /// What a turn cost, the router alone knows: the agent reckons with Claude's prices, whatever
    /// model answers.
    fn account(&mut self, end: &mut TurnEnd, spent: Option<Spent>) {
        self.session.state.told_spent = None;
        if let Some(usage) = &mut end.usage {
            usage.cost_usd = None;
        }
        if let Some(now) = spent
            && let Some(before) = self.session.state.spent.replace(now)
        {
            now.tell(&before, &mut end.usage);
        }
    }

    fn set_model(&mut self, model: String) {
        if self.session.state.model.as_ref() == Some(&model) {
            return;
        }
        let body = EventBody::Status(Status {
            model: Some(model.clone()),
            ..Status::new(
                self.session.turn_state(),
                format!("The model is now {model}"),
            )
        });
        self.session.state.model = Some(model.clone());
        self.session.state.settings.model = Some(model);
        self.log(None, body);
        self.tell_settings();
    }

    fn record(&mut self, turn: TurnId, record: Record, spent: Option<Spent>) {
        let Some(current) = &mut self.session.state.current else {
            return;
        };
        // A heartbeat, an echo, one after a gap, or of a turn that is over for the session.
        if current.id != turn
            || record.n != self.session.position.n + 1
            || current.phase == Phase::Saving
        {
            return;
        }
        let first = current.phase == Phase::Starting;
        current.phase = Phase::Running;
        current.used_tools |= record.events.iter().any(uses_tool);
        self.session.position.n = record.n;
        if let Some(mut id) = record.claude_session_id {
            cut(&mut id, MAX_NAME);
            self.session.state.claude_session_id = Some(id);
        }
        let says_so = |body: &EventBody| matches!(body, EventBody::Status(_));
        if first && !record.events.iter().any(says_so) {
            let body = EventBody::Status(Status::new(TurnState::Running, "Running"));
            self.log(Some(turn), body);
        }
        if first && record.end.is_none() && self.session.state.settings.untold {
            // Before this, the agent may not have known the turn.
            let change = self.session.state.settings.changes;
            self.step.effects.push(Effect::Settings { turn, change });
        }
        for body in record.events {
            match body {
                EventBody::PermissionRequest { .. } | EventBody::Question { .. } => {
                    self.ask(turn, body);
                }
                EventBody::Status(mut status) if status.state == TurnState::Running => {
                    status.permission_mode = None;
                    status.rules = None;
                    self.log(Some(turn), EventBody::Status(status));
                }
                EventBody::Egress { host, decision, .. } => self.egress(host, decision),
                body if is_the_agents(&body) => self.log(Some(turn), body),
                _ => {}
            }
        }
        for request in record.withdrawn {
            self.withdraw(&request);
        }
        if let Some(mut end) = record.end {
            // The end has to fit into the log, whatever a sandbox makes of it.
            cut(&mut end.content, MAX_END);
            if let Some(model) = &mut end.model {
                cut(model, MAX_NAME);
            }
            self.account(&mut end, spent);
            let n = self.session.position.n;
            self.step.effects.push(Effect::Acknowledge { turn, n });
            self.stopped(turn);
            if let Some(current) = &mut self.session.state.current {
                current.phase = Phase::Saving;
                current.end = Some(end);
                self.step.effects.push(Effect::Save { turn });
            }
        }
    }

    /// Each host is told once a turn, and what is wanted between turns not at all: it may be anything.
    fn egress(&mut self, host: String, decision: EgressDecision) {
        let Some(current) = &mut self.session.state.current else {
            return;
        };
        let content = decision.told(&host);
        if host.len() > MAX_HOST
            || !host.bytes().all(|byte| byte.is_ascii_graphic())
            || current.hosts.len() >= MAX_HOSTS
            || !current.hosts.insert(content.clone())
        {
            return;
        }
        let turn = current.id;
        let body = EventBody::Egress {
            content,
            host,
            decision,
        };
        self.log(Some(turn), body);
    }

    fn launching(&mut self, child: SessionId) {
        let children = &mut self.session.state.children;
        if !children.contains(&child) {
            children.push(child);
        }
    }

    fn launched(&mut self, child: SessionId, config_id: String) {
        self.launching(child.clone());
        let turn = self.session.state.current.as_ref().map(|it| it.id);
        let body = EventBody::SessionLaunched {
            content: format!("Launched {config_id} as session {child}"),
            launched_session_id: child,
            config_id,
        };
        self.log(turn, body);
    }

    /// Tells what the calls have used that were booked since it was told last.
    fn spending(&mut self, turn: TurnId, spent: Spent) {
        let state = &mut self.session.state;
        let runs = |current: &Current| current.id == turn && current.phase == Phase::Running;
        if !state.current.as_ref().is_some_and(runs) {
            return;
        }
        let Some(before) = state.told_spent.or(state.spent) else {
            return; // Without a beginning there is no difference.
        };
        let mut usage = None;
        spent.tell(&before, &mut usage);
        let Some(mut usage) = usage else { return };
        usage.num_turns = spent.requests.saturating_sub(before.requests);
        state.told_spent = Some(spent);
        let content = told_usage(&usage);
        self.log(Some(turn), EventBody::Usage { content, usage });
    }

    fn restored(&mut self, turn: TurnId, save: Option<u64>, damage: Option<String>) {
        let current = self.session.state.current.as_ref();
        if current.is_none_or(|current| current.id != turn || current.phase == Phase::Saving) {
            return;
        }
        if let Some(damage) = damage {
            let instead = match save {
                Some(_) => "the one before it was restored",
                None => "none before it is whole, so the workspace is empty",
            };
            let words = format!("The last save of the workspace is damaged ({damage}); {instead}");
            self.log_problem(turn, &Problem::new(ProblemKind::SandboxFailed, words));
        }
        if save.is_some() {
            let words = "A new sandbox has the workspace and the conversation as they were saved";
            let body = EventBody::Status(Status::new(self.session.turn_state(), words));
            self.log(Some(turn), body);
        }
    }

    fn saved(&mut self, turn: TurnId, save: std::result::Result<Option<u64>, Problem>) {
        let Some(current) = &self.session.state.current else {
            return;
        };
        if current.id != turn || current.phase != Phase::Saving {
            return;
        }
        match save {
            Ok(save) => self.end_saved(save),
            Err(problem) => {
                self.log_problem(turn, &problem);
                self.end_saved(None);
            }
        }
    }

    /// Ends the turn that is being saved as the agent has ended it.
    fn end_saved(&mut self, save: Option<u64>) {
        let end = self.session.state.current.as_mut();
        if let Some(end) = end.and_then(|current| current.end.take()) {
            self.end_current(end, save);
        }
    }

    /// A turn had come to its end, but what it has done is gone with its sandbox.
    fn lost_unsaved(&mut self, turn: TurnId, problem: &Problem) {
        self.log_problem(turn, problem);
        let end = self.session.state.current.as_mut();
        if let Some(mut end) = end.and_then(|current| current.end.take()) {
            if end.outcome == Outcome::Completed {
                end.outcome = Outcome::Failed;
                end.content =
                    "Failed: what it has done was lost before it could be saved".to_owned();
            }
            self.end_current(end, None);
        }
    }

    fn lost(&mut self, turn: TurnId, problem: Problem, sandbox_gone: bool) {
        let Some(current) = &mut self.session.state.current else {
            return;
        };
        if current.id != turn {
            return;
        }
        if current.phase == Phase::Saving {
            if sandbox_gone {
                self.lost_unsaved(turn, &problem);
            }
            return;
        }
        let was_interrupted = current.interrupted;
        if sandbox_gone
            && !was_interrupted
            && !current.used_tools
            && current.restarts < MAX_RESTARTS
        {
            current.restarts += 1;
            current.phase = Phase::Starting;
            self.session.position.n = 0;
            self.withdraw_all("Not asked any more: the sandbox is gone");
            self.session.state.untold.clear();
            let content = format!("{}. Starting again", problem.detail);
            let body = EventBody::Status(Status::new(TurnState::Starting, content));
            self.log(Some(turn), body);
            self.step.effects.push(Effect::Start { turn });
            return;
        }
        // It may be the connection alone that is gone.
        self.stop_agent(turn);
        if was_interrupted {
            self.end_current(interrupted("Interrupted"), None);
            return;
        }
        self.log_problem(turn, &problem);
        let end = TurnEnd {
            outcome: Outcome::Failed,
            content: format!("Failed: {}", problem.detail),
            model: None,
            usage: None,
        };
        self.end_current(end, None);
    }

    fn log_problem(&mut self, turn: TurnId, problem: &Problem) {
        let body = EventBody::Error {
            content: problem.detail.clone(),
            code: problem.kind.code().to_owned(),
        };
        self.log(Some(turn), body);
    }

    fn end_current(&mut self, end: TurnEnd, save: Option<u64>) {
        self.withdraw_all("Not asked any more: the turn is over");
        self.session.state.untold.clear();
        if let Some(current) = self.session.state.current.take() {
            self.session.state.failed = end.outcome == Outcome::Failed;
            self.log_end(current.id, end, save);
        }
        self.start_next();
    }

    fn start_next(&mut self) {
        if self.session.state.current.is_some() {
            return;
        }
        let Some(turn) = self.session.state.queue.pop_front() else {
            return;
        };
        self.session.state.current = Some(Current::new(turn));
        self.session.position.n = 0;
        self.session.state.to_stop = None;
        self.session.state.settings.untold = false;
        self.session.state.settings.model = None;
        if let Some(mode) = self.session.state.waiting_modes.remove(&turn) {
            self.session.state.mode = Some(mode);
        }
        let body = EventBody::Status(Status {
            model: self.session.state.model.clone(),
            permission_mode: self.session.state.mode,
            ..Status::new(TurnState::Starting, "Starting")
        });
        self.log(Some(turn), body);
        self.step.effects.push(Effect::Start { turn });
    }

    fn log_end(&mut self, turn: TurnId, end: TurnEnd, save: Option<u64>) {
        let body = EventBody::Status(Status {
            save,
            outcome: Some(end.outcome),
            model: end.model,
            usage: end.usage,
            ..Status::new(TurnState::Ended, end.content)
        });
        self.log(Some(turn), body);
    }

    pub fn log(&mut self, turn_id: Option<TurnId>, body: EventBody) {
        self.session.position.seq += 1;
        self.step.events.push(Event {
            seq: self.session.position.seq,
            session_id: self.session.id.clone(),
            turn_id,
            timestamp: self.now,
            body,
        });
    }
}

/// Characters of a session's title.
const MAX_TITLE: usize = 120;

/// The first line of a message that says something, on one line.
fn title(content: &str) -> String {
    let line = content.lines().map(str::trim).find(|line| !line.is_empty());
    let line = line.unwrap_or_default();
    let shown: String = line
        .chars()
        .filter(|character| !character.is_control())
        .take(MAX_TITLE)
        .collect();
    match line.chars().count() > MAX_TITLE {
        true => format!("{}…", shown.trim_end()),
        false => shown,
    }
}

fn interrupted(content: &str) -> TurnEnd {
    TurnEnd {
        outcome: Outcome::Interrupted,
        content: content.to_owned(),
        model: None,
        usage: None,
    }
}

/// What calls have used, in a line for people.
fn told_usage(usage: &Usage) -> String {
    let calls = match usage.num_turns {
        1 => "1 call".to_owned(),
        calls => format!("{calls} calls"),
    };
    let input = usage
        .input_tokens
        .saturating_add(usage.cache_read_input_tokens)
        .saturating_add(usage.cache_creation_input_tokens);
    let cost = usage.cost_usd.map(|cost| format!(", ${cost:.4}"));
    format!(
        "{calls} of the model: {input} tokens in, {} out{}",
        usage.output_tokens,
        cost.unwrap_or_default()
    )
}

/// Whether the agent may have done something by then.
fn uses_tool(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::ToolUse { .. }
            | EventBody::ToolResult { .. }
            | EventBody::FileChange { .. }
            | EventBody::PermissionRequest { .. }
            | EventBody::Question { .. }
    )
}

/// Whether a sandbox may say this. What a person said or answered, and where a turn stands, is the
/// session's alone to say: a sandbox that claims it is broken, or hostile.
fn is_the_agents(body: &EventBody) -> bool {
    match body {
        EventBody::UserMessage { .. }
        | EventBody::PermissionResponse { .. }
        | EventBody::Usage { .. }
        | EventBody::SessionLaunched { .. }
        | EventBody::Unknown => false,
        EventBody::Status(status) => status.state == TurnState::Running,
        _ => true,
    }
}
