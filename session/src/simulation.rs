//! Random histories of a session: people, an agent, a network and evictions in any order.

mod examples;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::event::{Answered, Asked, Place, Status, TurnState};
use protocol::sandbox::{Record, TurnEnd};
use protocol::{
    Answer, Behavior, Decision, Event, EventBody, Outcome, PermissionMode, Problem, ProblemKind,
    SessionId, TurnId,
};

use crate::{Effect, Input, Phase, Session, Spent};

/// A session with the storage around it, and an agent that answers.
struct World {
    session: Session,
    log: Vec<Event>,
    /// Ids of messages, as the storage knows them.
    messages: BTreeSet<String>,
    /// What the agent has of each turn: how many records it has made, and whether the last ended it.
    agent: BTreeMap<TurnId, (u64, bool)>,
    started: Vec<TurnId>,
    used_tools: BTreeSet<TurnId>,
    clock: u64,
}

#[derive(Debug, Clone)]
enum Act {
    Say {
        id: u8,
    },
    Stop {
        turn: Option<u8>,
    },
    Choose {
        model: u8,
    },
    /// The agent makes a record of the current turn, and the session hears it.
    Work,
    Finish {
        failed: bool,
    },
    /// The session hears a record that it has heard, or one too far ahead, or of another turn.
    Echo {
        turn: u8,
        n: u8,
        end: bool,
    },
    Lose {
        turn: u8,
        sandbox_gone: bool,
    },
    /// The agent calls a tool.
    UseTool,
    Save {
        works: bool,
    },
    /// The object is evicted and comes back from what is stored.
    Evict,
    /// The sandbox claims what is not its to claim.
    Lie,
    /// The agent hears that a turn is to stop.
    Hear,
    /// The router tells what it has booked.
    Book {
        requests: u8,
    },
    /// The agent asks something, under a name that it may have used before.
    Ask {
        id: u8,
        kind: u8,
    },
    /// Somebody answers what was asked, or what never was.
    Answer {
        request: u8,
        kind: u8,
    },
    /// The agent takes a request back.
    Withdraw {
        id: u8,
    },
    /// So many minutes pass.
    Wait {
        minutes: u8,
    },
    ChooseMode {
        mode: u8,
    },
    /// The agent hears all that it was to be told.
    HearAnswers,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..40_u8).prop_map(|id| Act::Say { id }),
        2 => prop::option::of(0..12_u8).prop_map(|turn| Act::Stop { turn }),
        1 => (0..3_u8).prop_map(|model| Act::Choose { model }),
        6 => Just(Act::Work),
        3 => any::<bool>().prop_map(|failed| Act::Finish { failed }),
        2 => (0..12_u8, 0..6_u8, any::<bool>()).prop_map(|(turn, n, end)| Act::Echo { turn, n, end }),
        1 => (0..12_u8, any::<bool>()).prop_map(|(turn, sandbox_gone)| Act::Lose { turn, sandbox_gone }),
        1 => Just(Act::UseTool),
        4 => any::<bool>().prop_map(|works| Act::Save { works }),
        1 => Just(Act::Evict),
        1 => Just(Act::Lie),
        1 => Just(Act::Hear),
        2 => any::<u8>().prop_map(|requests| Act::Book { requests }),
        4 => (0..60_u8, 0..4_u8).prop_map(|(id, kind)| Act::Ask { id, kind }),
        4 => (0..30_u8, 0..6_u8).prop_map(|(request, kind)| Act::Answer { request, kind }),
        1 => (0..60_u8).prop_map(|id| Act::Withdraw { id }),
        1 => (0..15_u8).prop_map(|minutes| Act::Wait { minutes }),
        1 => (0..4_u8).prop_map(|mode| Act::ChooseMode { mode }),
        1 => Just(Act::HearAnswers),
    ]
}

/// The request that an event makes.
fn request_of(body: &EventBody) -> Option<&str> {
    match body {
        EventBody::PermissionRequest { request_id, .. }
        | EventBody::Question { request_id, .. } => Some(request_id),
        _ => None,
    }
}

/// A request as the agent makes it: of a kind, with or without rules.
fn request(id: &str, kind: u8) -> EventBody {
    let (content, request_id, asked) = ("may I?".to_owned(), id.to_owned(), Asked::default());
    let input = serde_json::json!({});
    match kind {
        0 => EventBody::Question {
            content,
            request_id,
            input,
            asked,
        },
        kind => EventBody::PermissionRequest {
            content,
            request_id,
            tool: if kind == 1 { "ExitPlanMode" } else { "Bash" }.to_owned(),
            input,
            rules: if kind == 2 {
                Vec::new()
            } else {
                vec!["Bash(ls *)".to_owned(), "(no rule".to_owned()]
            },
            asked,
        },
    }
}

fn text(content: &str) -> EventBody {
    EventBody::Progress {
        content: content.to_owned(),
        place: Place {
            block: "b".to_owned(),
            parent_tool_use_id: None,
        },
    }
}

fn tool_use() -> EventBody {
    EventBody::ToolUse {
        content: "ls".to_owned(),
        tool: "Bash".to_owned(),
        tool_use_id: "t".to_owned(),
        input: serde_json::Value::Null,
        parent_tool_use_id: None,
    }
}

fn end(outcome: Outcome) -> Option<TurnEnd> {
    Some(TurnEnd {
        outcome,
        content: "over".to_owned(),
        model: None,
        usage: None,
    })
}

impl World {
    fn new() -> Self {
        Self {
            session: Session::new(SessionId::parse("s").unwrap()),
            log: Vec::new(),
            messages: BTreeSet::new(),
            agent: BTreeMap::new(),
            started: Vec::new(),
            used_tools: BTreeSet::new(),
            clock: 0,
        }
    }

    fn take(&mut self, input: Input) {
        self.clock += 1;
        let before = self.session.clone();
        match self.session.step(input, self.clock) {
            Ok(step) => {
                self.log.extend(step.events);
                for effect in step.effects {
                    match effect {
                        Effect::Start { turn } => {
                            self.started.push(turn);
                            self.agent.entry(turn).or_default();
                        }
                        Effect::Interrupt { turn } => {
                            // It may get lost: the state remembers it until it is heard.
                            assert!(
                                self.session.state.to_stop == Some(turn)
                                    || self.session.state.current.is_some()
                            );
                        }
                        Effect::Attach { turn, after } => {
                            assert_eq!(self.session.state.current.as_ref().unwrap().id, turn);
                            assert_eq!(self.session.position.n, after);
                        }
                        Effect::Acknowledge { .. } => {}
                        Effect::Answer { request_id } => {
                            let untold = &self.session.state.untold;
                            assert!(
                                untold.iter().any(|untold| untold.request_id == request_id)
                                    || self.is_over(&request_id)
                            );
                        }
                        Effect::Settings { turn, .. } => {
                            assert_eq!(self.session.state.current.as_ref().unwrap().id, turn);
                        }
                        Effect::Save { turn } => {
                            let current = self.session.state.current.as_ref().unwrap();
                            assert_eq!((current.id, current.phase), (turn, Phase::Saving));
                        }
                    }
                }
            }
            Err(_) => assert_eq!(self.session, before, "a refused input changes nothing"),
        }
        self.check();
    }

    fn say(&mut self, id: String) {
        if self.messages.contains(&id) {
            return;
        }
        let before = self.session.position.seq;
        self.take(Input::Message {
            id: id.clone(),
            content: "hi".to_owned(),
            model: None,
            mode: None,
        });
        if self.session.position.seq > before {
            self.messages.insert(id);
        }
    }

    fn record(&mut self, end: Option<TurnEnd>) {
        self.record_of(vec![text("x")], end);
    }

    /// The agent ends the current turn, and what it did is saved.
    fn finish(&mut self, outcome: Outcome) {
        self.record(end(outcome));
        self.act(Act::Save { works: true });
    }

    fn record_of(&mut self, events: Vec<EventBody>, end: Option<TurnEnd>) {
        let Some(turn) = self
            .session
            .state
            .current
            .as_ref()
            .map(|current| current.id)
        else {
            return;
        };
        let made = self.agent.entry(turn).or_default();
        made.0 += 1;
        made.1 |= end.is_some();
        if events.contains(&tool_use()) {
            self.used_tools.insert(turn);
        }
        // After an eviction the session hears again what it had not stored, so `n` is its own next.
        let n = self.session.position.n + 1;
        let spent = end.as_ref().map(|_| Spent {
            requests: self.clock,
            ..Spent::default()
        });
        self.take(Input::Record {
            turn,
            record: Record {
                n,
                events,
                end,
                ..Record::default()
            },
            spent,
        });
    }

    /// Whether the turn of a request has ended.
    fn is_over(&self, request: &str) -> bool {
        let asked = |event: &&Event| request_of(&event.body) == Some(request);
        let turn = self.log.iter().find(asked).unwrap().turn_id;
        self.session
            .state
            .current
            .as_ref()
            .map(|current| current.id)
            != turn
    }

    /// The agent makes a record of this, and the session hears it.
    fn hear(&mut self, record: Record) {
        let current = self.session.state.current.as_ref();
        if let Some(turn) = current.map(|current| current.id) {
            let n = self.session.position.n + 1;
            self.take(Input::Record {
                turn,
                record: Record { n, ..record },
                spent: None,
            });
        }
    }

    fn ask(&mut self, id: &str, kind: u8) {
        self.hear(Record {
            events: vec![request(id, kind)],
            ..Record::default()
        });
    }

    fn answer(&mut self, request_id: &str, kind: u8) {
        let answer = |behavior, answers: bool, mode| Answer {
            behavior,
            message: None,
            answers: answers.then(|| [("Which?".to_owned(), "Red".to_owned())].into()),
            updated_input: None,
            mode,
        };
        let answer = match kind {
            0 => answer(Behavior::Allow, false, None),
            1 => answer(Behavior::AllowSession, false, None),
            2 => answer(Behavior::Deny, false, None),
            3 => answer(Behavior::Allow, true, None),
            4 => answer(Behavior::Allow, false, Some(PermissionMode::AcceptEdits)),
            _ => answer(
                Behavior::Allow,
                false,
                Some(PermissionMode::BypassPermissions),
            ),
        };
        self.take(Input::Answer {
            request_id: request_id.to_owned(),
            answer,
        });
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Ask { id, kind } => self.ask(&format!("agent-{id}"), kind),
            Act::Answer {
                request: number,
                kind,
            } => self.answer(&format!("ask-{number}"), kind),
            Act::Withdraw { id } => self.hear(Record {
                withdrawn: vec![format!("agent-{id}")],
                ..Record::default()
            }),
            Act::Wait { minutes } => {
                self.clock += u64::from(minutes) * 60_000;
                self.take(Input::Expire);
                let late = self.session.next_expiry();
                assert!(
                    late.is_none_or(|at| at > self.clock),
                    "nothing is asked for ever"
                );
            }
            Act::ChooseMode { mode } => self.take(Input::SetMode {
                mode: [
                    PermissionMode::Default,
                    PermissionMode::AcceptEdits,
                    PermissionMode::Plan,
                    PermissionMode::BypassPermissions,
                ][usize::from(mode)],
            }),
            Act::HearAnswers => {
                for effect in self.session.retell() {
                    match effect {
                        Effect::Answer { request_id } => self.take(Input::Answered { request_id }),
                        Effect::Settings { change, .. } => {
                            self.take(Input::SettingsHeard { change });
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(self.session.retell(), []);
            }
            Act::Say { id } => self.say(format!("m{id}")),
            Act::Stop { turn } => self.take(Input::Interrupt {
                turn: turn.map(|turn| TurnId(turn.into())),
            }),
            Act::Book { requests } => self.take(Input::Booked {
                spent: Spent {
                    requests: requests.into(),
                    ..Spent::default()
                },
            }),
            Act::Choose { model } => self.take(Input::SetModel {
                model: format!("model-{model}"),
            }),
            Act::Work => self.record(None),
            Act::Finish { failed } => {
                self.record(end(if failed {
                    Outcome::Failed
                } else {
                    Outcome::Completed
                }));
            }
            Act::Echo { turn, n, end: ends } => {
                let current = self
                    .session
                    .state
                    .current
                    .as_ref()
                    .map(|current| current.id);
                let (turn, n) = (TurnId(turn.into()), u64::from(n));
                if current == Some(turn) && n == self.session.position.n + 1 {
                    return; // That would be no echo but the next record.
                }
                let before = (self.session.clone(), self.log.len());
                let end = if ends { end(Outcome::Completed) } else { None };
                let record = Record {
                    n,
                    events: vec![text("echo")],
                    end,
                    ..Record::default()
                };
                self.take(Input::Record {
                    turn,
                    record,
                    spent: None,
                });
                assert_eq!((self.session.clone(), self.log.len()), before);
            }
            Act::Lose { turn, sandbox_gone } => {
                let turn = TurnId(turn.into());
                let used_tools = self.used_tools.contains(&turn);
                let starts = self.started.len();
                self.take(Input::Lost {
                    turn,
                    problem: Problem::new(ProblemKind::SandboxFailed, "gone"),
                    sandbox_gone,
                });
                let again = self.started[starts..].contains(&turn);
                assert!(!(again && used_tools), "what a tool did is not done twice");
            }
            Act::UseTool => self.record_of(vec![tool_use()], None),
            Act::Save { works } => {
                let current = self.session.state.current.clone();
                let turn = current.map_or(TurnId(1), |current| current.id);
                let save = if works {
                    Ok(Some(self.clock))
                } else {
                    Err(Problem::new(ProblemKind::SandboxFailed, "not saved"))
                };
                self.take(Input::Saved { turn, save });
            }
            Act::Evict => {
                // What is stored: the state, and the log's last entry for the position.
                let json = serde_json::to_string(&self.session.state).unwrap();
                let mut woken = Session::new(self.session.id.clone());
                woken.state = serde_json::from_str(&json).unwrap();
                woken.position = self.session.position;
                assert_eq!(woken, self.session);
                let left = woken.state.current.is_some() || woken.state.to_stop.is_some();
                assert_eq!(woken.reattach().is_some(), left);
                self.session = woken;
            }
            Act::Hear => {
                if let Some(turn) = self.session.state.to_stop {
                    self.take(Input::Stopped { turn });
                    assert_eq!(self.session.state.to_stop, None);
                }
            }
            Act::Lie => {
                let Some(turn) = self
                    .session
                    .state
                    .current
                    .as_ref()
                    .map(|current| current.id)
                else {
                    return;
                };
                let before = self.log.len();
                let lies = vec![
                    EventBody::UserMessage {
                        content: "not said".to_owned(),
                        id: "lie".to_owned(),
                    },
                    EventBody::Status(Status::new(TurnState::Ended, "not so")),
                    EventBody::Status(Status::new(TurnState::Idle, "not so")),
                    EventBody::PermissionResponse {
                        content: "not so".to_owned(),
                        request_id: format!("ask-{}", self.session.state.last_ask),
                        behavior: Decision::Allow,
                        answered: Answered::default(),
                    },
                    EventBody::Status(Status {
                        permission_mode: Some(PermissionMode::BypassPermissions),
                        rules: Some(vec!["Bash".to_owned()]),
                        ..Status::new(TurnState::Running, "not so")
                    }),
                ];
                let n = self.session.position.n + 1;
                self.take(Input::Record {
                    turn,
                    record: Record {
                        n,
                        events: lies,
                        ..Record::default()
                    },
                    spent: None,
                });
                for event in &self.log[before..] {
                    assert!(matches!(&event.body, EventBody::Status(status)
                        if status.state == TurnState::Running
                            && status.permission_mode.is_none()
                            && status.rules.is_none()));
                }
            }
        }
    }

    /// What holds after every step.
    fn check(&self) {
        for (place, event) in self.log.iter().enumerate() {
            assert_eq!(event.seq, place as u64 + 1, "seq is gap-free");
        }
        assert_eq!(self.session.position.seq, self.log.len() as u64);
        if self.session.state.current.is_none() {
            assert!(
                self.session.state.queue.is_empty(),
                "nothing waits for nobody"
            );
        }
        if let Some(turn) = self.session.state.to_stop {
            let last = self
                .session
                .state
                .current
                .as_ref()
                .map_or(turn, |current| current.id);
            assert!(turn >= last, "a later turn ends it by itself");
        }
        let mut ended = BTreeSet::new();
        let mut said = BTreeSet::new();
        let mut asked = BTreeSet::new();
        let mut open = BTreeSet::new();
        for event in &self.log {
            match &event.body {
                EventBody::PermissionResponse { request_id, .. } => {
                    assert!(open.remove(request_id), "{request_id} ends once");
                }
                body => {
                    if let Some(request) = request_of(body) {
                        assert!(asked.insert(request.to_owned()), "{request} is asked once");
                        open.insert(request.to_owned());
                    }
                }
            }
            let Some(turn) = event.turn_id else { continue };
            assert!(
                !ended.contains(&turn),
                "nothing of a turn comes after its end"
            );
            match &event.body {
                EventBody::Status(status) if status.state == TurnState::Ended => {
                    assert!(status.outcome.is_some());
                    ended.insert(turn);
                }
                EventBody::UserMessage { id, .. } => {
                    assert!(said.insert(id.clone()), "a message is stored once");
                    assert_ne!(id, "lie");
                }
                _ => {}
            }
        }
        let state = &self.session.state;
        let waiting: BTreeSet<String> = state
            .open
            .iter()
            .map(|open| open.request_id.clone())
            .collect();
        assert_eq!(
            open, waiting,
            "what is open in the log is open in the state"
        );
        assert!(state.open.len() + state.untold.len() <= crate::MAX_OPEN);
        assert!(state.rules.len() <= crate::MAX_RULES);
        match &state.current {
            None => assert!(state.open.is_empty() && state.untold.is_empty()),
            Some(current) => {
                assert!(state.open.iter().all(|open| open.turn == current.id));
                assert!(state.untold.iter().all(|untold| untold.turn == current.id));
                assert!(state.open.is_empty() || !current.interrupted);
            }
        }
        assert!(
            state
                .waiting_modes
                .keys()
                .all(|turn| state.queue.contains(turn))
        );
        let alive: BTreeSet<TurnId> = self
            .session
            .state
            .queue
            .iter()
            .copied()
            .chain(
                self.session
                    .state
                    .current
                    .as_ref()
                    .map(|current| current.id),
            )
            .collect();
        for turn in (1..=self.session.state.last_turn).map(TurnId) {
            assert_ne!(
                ended.contains(&turn),
                alive.contains(&turn),
                "{turn} is over or alive"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_the_order(acts in prop::collection::vec(act(), 0..120)) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        // Left alone, the agent finishes what there is.
        while world.session.state.current.is_some() {
            world.act(Act::Finish { failed: false });
            world.act(Act::Save { works: true });
        }
        prop_assert_eq!(world.session.turn_state(), TurnState::Idle);
        let said = world.log.iter().filter(|e| matches!(e.body, EventBody::UserMessage { .. })).count();
        prop_assert_eq!(said, world.messages.len(), "no message is lost");
        prop_assert_eq!(world.session.state.last_turn as usize, said);
        let mut in_order = world.started.clone();
        in_order.sort();
        prop_assert_eq!(&in_order, &world.started, "turns start in order");
        in_order.dedup();
        prop_assert!(world.started.len() <= in_order.len() * 3, "and few times");
    }
}
