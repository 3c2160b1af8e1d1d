//! Random histories of a session: people, an agent, a network and evictions in any order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::event::{Place, Status, TurnState};
use protocol::sandbox::{Record, TurnEnd};
use protocol::{Event, EventBody, Outcome, Problem, ProblemKind, SessionId, TurnId};

use crate::{Effect, Input, Session, Spent};

/// A session with the storage around it, and an agent that answers.
struct World {
    session: Session,
    log: Vec<Event>,
    /// Ids of messages, as the storage knows them.
    messages: BTreeSet<String>,
    /// What the agent has of each turn: how many records it has made, and whether the last ended it.
    agent: BTreeMap<TurnId, (u64, bool)>,
    started: Vec<TurnId>,
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
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..40_u8).prop_map(|id| Act::Say { id }),
        2 => prop::option::of(0..12_u8).prop_map(|turn| Act::Stop { turn }),
        1 => (0..3_u8).prop_map(|model| Act::Choose { model }),
        6 => Just(Act::Work),
        3 => any::<bool>().prop_map(|failed| Act::Finish { failed }),
        2 => (0..12_u8, 0..6_u8, any::<bool>()).prop_map(|(turn, n, end)| Act::Echo { turn, n, end }),
        1 => (0..12_u8).prop_map(|turn| Act::Lose { turn }),
        1 => Just(Act::Evict),
        1 => Just(Act::Lie),
        1 => Just(Act::Hear),
        2 => any::<u8>().prop_map(|requests| Act::Book { requests }),
    ]
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
        });
        if self.session.position.seq > before {
            self.messages.insert(id);
        }
    }

    fn record(&mut self, end: Option<TurnEnd>) {
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
                events: vec![text("x")],
                end,
                ..Record::default()
            },
            spent,
        });
    }

    fn act(&mut self, act: Act) {
        match act {
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
            Act::Lose { turn } => self.take(Input::Lost {
                turn: TurnId(turn.into()),
                problem: Problem::new(ProblemKind::SandboxFailed, "gone"),
            }),
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
                    assert!(
                        matches!(&event.body, EventBody::Status(status) if status.state == TurnState::Running)
                    );
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
        for event in &self.log {
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
        }
        prop_assert_eq!(world.session.turn_state(), TurnState::Idle);
        let said = world.log.iter().filter(|e| matches!(e.body, EventBody::UserMessage { .. })).count();
        prop_assert_eq!(said, world.messages.len(), "no message is lost");
        prop_assert_eq!(world.session.state.last_turn as usize, said);
        let mut in_order = world.started.clone();
        in_order.sort();
        in_order.dedup();
        prop_assert_eq!(in_order, world.started, "turns start once, in order");
    }
}

fn kinds(log: &[Event]) -> Vec<String> {
    log.iter()
        .map(|event| {
            let json = serde_json::to_value(event).unwrap();
            let field = |name: &str| {
                json.get(name)
                    .and_then(|v| v.as_str())
                    .unwrap_or_default()
                    .to_owned()
            };
            [
                field("turn_id"),
                field("type"),
                field("state"),
                field("outcome"),
            ]
            .join(" ")
            .trim()
            .to_owned()
        })
        .collect()
}

#[test]
fn a_turn_from_its_message_to_its_end() {
    let mut world = World::new();
    world.say("m".to_owned());
    world.record(None);
    world.record(end(Outcome::Completed));
    assert_eq!(
        kinds(&world.log),
        [
            "turn-1 user_message",
            "turn-1 status queued",
            "turn-1 status starting",
            "turn-1 status running",
            "turn-1 progress",
            "turn-1 progress",
            "turn-1 status ended completed",
        ]
    );
}

#[test]
fn a_queue_runs_in_order_and_one_can_be_taken_out() {
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        world.say(id.to_owned());
    }
    world.take(Input::Interrupt {
        turn: Some(TurnId(2)),
    });
    world.record(end(Outcome::Completed));
    world.record(end(Outcome::Completed));
    assert_eq!(world.started, [TurnId(1), TurnId(3)]);
    assert_eq!(world.session.turn_state(), TurnState::Idle);
}

#[test]
fn a_full_queue_refuses() {
    let mut world = World::new();
    for id in 0..=crate::MAX_QUEUE {
        world.say(format!("m{id}"));
    }
    let refused = world.session.step(
        Input::Message {
            id: "more".to_owned(),
            content: "hi".to_owned(),
            model: None,
        },
        1,
    );
    assert_eq!(refused.unwrap_err().status(), 429);
}

#[test]
fn interrupting_waits_for_the_agent_but_not_twice() {
    let mut world = World::new();
    world.say("a".to_owned());
    world.record(None);
    world.take(Input::Interrupt { turn: None });
    assert_eq!(world.session.turn_state(), TurnState::Running);
    world.take(Input::Interrupt { turn: None });
    assert_eq!(world.session.turn_state(), TurnState::Idle);
    assert_eq!(
        kinds(&world.log).last().unwrap(),
        "turn-1 status ended interrupted"
    );
}

#[test]
fn a_turn_that_never_started_is_interrupted_at_once() {
    let mut world = World::new();
    world.say("a".to_owned());
    world.take(Input::Interrupt { turn: None });
    assert_eq!(
        kinds(&world.log).last().unwrap(),
        "turn-1 status ended interrupted"
    );
}

#[test]
fn the_model_chosen_last_is_the_sessions() {
    let mut world = World::new();
    world.take(Input::SetModel {
        model: "a".to_owned(),
    });
    world.take(Input::SetModel {
        model: "a".to_owned(),
    });
    assert_eq!(world.log.len(), 1);
    world.take(Input::Message {
        id: "m".to_owned(),
        content: "hi".to_owned(),
        model: Some("b".to_owned()),
    });
    assert_eq!(world.session.state.model.as_deref(), Some("b"));
}

#[test]
fn what_comes_after_a_gap_is_not_taken() {
    let mut world = World::new();
    world.say("a".to_owned());
    world.record(None);
    let before = world.session.clone();
    let record = Record {
        n: 3,
        ..Record::default()
    };
    world.take(Input::Record {
        turn: TurnId(1),
        record,
        spent: None,
    });
    assert_eq!(world.session, before);
    assert_eq!(
        before.reattach(),
        Some(Effect::Attach {
            turn: TurnId(1),
            after: 1
        })
    );
}

#[test]
fn an_interrupt_of_a_starting_turn_is_remembered_until_it_is_heard() {
    let mut world = World::new();
    world.say("a".to_owned());
    world.take(Input::Interrupt { turn: None });
    assert_eq!(world.session.turn_state(), TurnState::Idle);
    assert_eq!(
        world.session.reattach(),
        Some(Effect::Interrupt { turn: TurnId(1) })
    );
    world.take(Input::Stopped { turn: TurnId(1) });
    assert_eq!(world.session.reattach(), None);
}

#[test]
fn a_turn_that_is_lost_is_stopped_as_well() {
    let mut world = World::new();
    world.say("a".to_owned());
    world.record(None);
    world.take(Input::Lost {
        turn: TurnId(1),
        problem: Problem::new(ProblemKind::SandboxFailed, "gone"),
    });
    assert_eq!(
        world.session.reattach(),
        Some(Effect::Interrupt { turn: TurnId(1) })
    );
}

#[test]
fn an_end_of_any_size_fits_into_the_log() {
    let mut world = World::new();
    world.say("a".to_owned());
    let end = TurnEnd {
        outcome: Outcome::Completed,
        content: "x".repeat(2_000_000),
        model: Some("x".repeat(2_000_000)),
        usage: None,
    };
    world.record(Some(end));
    let last = serde_json::to_string(world.log.last().unwrap()).unwrap();
    assert!(
        last.len() < 20_000 && last.contains("\"ended\""),
        "{} bytes",
        last.len()
    );
}
