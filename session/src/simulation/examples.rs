//! Single histories, each with what it must come to.

use protocol::sandbox::{Record, TurnEnd};
use protocol::{Event, EventBody, Outcome, Problem, ProblemKind, TurnId, TurnState};

use super::object::Object;
use super::sandbox::{end, text, tool_use};
use crate::{Effect, Input};

/// A session to which one thing happens after the other.
struct Tale(Object);

impl std::ops::Deref for Tale {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.0
    }
}

impl std::ops::DerefMut for Tale {
    fn deref_mut(&mut self) -> &mut Object {
        &mut self.0
    }
}

impl Tale {
    fn new() -> Self {
        Self(Object::new())
    }

    fn take(&mut self, input: Input) {
        self.0.take(vec![input], 1, true).unwrap();
    }

    fn say(&mut self, id: &str) {
        self.take(Input::Message {
            id: id.to_owned(),
            content: "hi".to_owned(),
            model: None,
            mode: None,
        });
    }

    fn record(&mut self, end: Option<TurnEnd>) {
        self.record_of(vec![text("x")], end);
    }

    /// The agent makes the next record of the current turn, and the session hears it.
    fn record_of(&mut self, events: Vec<EventBody>, end: Option<TurnEnd>) {
        let (turn, n) = (self.current().unwrap(), self.session.position.n + 1);
        let record = Record {
            n,
            events,
            end,
            ..Record::default()
        };
        let spent = None;
        self.take(Input::Record {
            turn,
            record,
            spent,
        });
    }

    fn save(&mut self, works: bool) {
        let turn = self.current().unwrap();
        let failed = || Problem::new(ProblemKind::SandboxFailed, "not saved");
        let save = works.then_some(Some(1)).ok_or_else(failed);
        self.take(Input::Saved { turn, save });
    }

    /// The agent ends the current turn, and what it did is saved.
    fn finish(&mut self, outcome: Outcome) {
        self.record(end(outcome));
        self.save(true);
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
    let mut tale = Tale::new();
    tale.say("m");
    tale.record(None);
    tale.finish(Outcome::Completed);
    assert_eq!(
        kinds(&tale.log),
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
    let mut tale = Tale::new();
    for id in ["a", "b", "c"] {
        tale.say(id);
    }
    tale.take(Input::Interrupt {
        turn: Some(TurnId(2)),
    });
    tale.finish(Outcome::Completed);
    tale.finish(Outcome::Completed);
    assert_eq!(tale.started, [TurnId(1), TurnId(3)]);
    assert_eq!(tale.session.turn_state(), TurnState::Idle);
}

#[test]
fn a_full_queue_refuses() {
    let mut tale = Tale::new();
    for id in 0..=crate::MAX_QUEUE {
        tale.say(&format!("m{id}"));
    }
    let refused = tale.session.step(
        Input::Message {
            id: "more".to_owned(),
            content: "hi".to_owned(),
            model: None,
            mode: None,
        },
        1,
    );
    assert_eq!(refused.unwrap_err().status(), 429);
}

#[test]
fn interrupting_waits_for_the_agent_but_not_twice() {
    let mut tale = Tale::new();
    tale.say("a");
    tale.record(None);
    tale.take(Input::Interrupt { turn: None });
    assert_eq!(tale.session.turn_state(), TurnState::Running);
    tale.take(Input::Interrupt { turn: None });
    assert_eq!(tale.session.turn_state(), TurnState::Idle);
    assert_eq!(
        kinds(&tale.log).last().unwrap(),
        "turn-1 status ended interrupted"
    );
}

#[test]
fn a_turn_that_never_started_is_interrupted_at_once() {
    let mut tale = Tale::new();
    tale.say("a");
    tale.take(Input::Interrupt { turn: None });
    assert_eq!(
        kinds(&tale.log).last().unwrap(),
        "turn-1 status ended interrupted"
    );
}

#[test]
fn the_model_chosen_last_is_the_sessions() {
    let mut tale = Tale::new();
    tale.take(Input::SetModel {
        model: "a".to_owned(),
    });
    tale.take(Input::SetModel {
        model: "a".to_owned(),
    });
    assert_eq!(tale.log.len(), 1);
    tale.take(Input::Message {
        id: "m".to_owned(),
        content: "hi".to_owned(),
        mode: None,
        model: Some("b".to_owned()),
    });
    assert_eq!(tale.session.state.model.as_deref(), Some("b"));
}

#[test]
fn what_comes_after_a_gap_is_not_taken() {
    let mut tale = Tale::new();
    tale.say("a");
    tale.record(None);
    let before = tale.session.clone();
    let record = Record {
        n: 3,
        ..Record::default()
    };
    tale.take(Input::Record {
        turn: TurnId(1),
        record,
        spent: None,
    });
    assert_eq!(tale.session, before);
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
    let mut tale = Tale::new();
    tale.say("a");
    tale.take(Input::Interrupt { turn: None });
    assert_eq!(tale.session.turn_state(), TurnState::Idle);
    assert_eq!(
        tale.session.reattach(),
        Some(Effect::Interrupt { turn: TurnId(1) })
    );
    tale.take(Input::Stopped { turn: TurnId(1) });
    assert_eq!(tale.session.reattach(), None);
}

#[test]
fn a_turn_that_is_lost_is_stopped_as_well() {
    let mut tale = Tale::new();
    tale.say("a");
    tale.record(None);
    tale.take(Input::Lost {
        turn: TurnId(1),
        problem: Problem::new(ProblemKind::SandboxFailed, "gone"),
        sandbox_gone: false,
    });
    assert_eq!(
        tale.session.reattach(),
        Some(Effect::Interrupt { turn: TurnId(1) })
    );
}

#[test]
fn an_end_of_any_size_fits_into_the_log() {
    let mut tale = Tale::new();
    tale.say("a");
    let end = TurnEnd {
        outcome: Outcome::Completed,
        content: "x".repeat(2_000_000),
        model: Some("x".repeat(2_000_000)),
        usage: None,
    };
    tale.record(Some(end));
    tale.save(true);
    let last = serde_json::to_string(tale.log.last().unwrap()).unwrap();
    assert!(
        last.len() < 20_000 && last.contains("\"ended\""),
        "{} bytes",
        last.len()
    );
}

#[test]
fn a_turn_ends_when_it_is_saved() {
    let mut tale = Tale::new();
    tale.say("a");
    tale.say("b");
    tale.record(end(Outcome::Completed));
    assert_eq!(tale.started, [TurnId(1)], "the next one waits for the save");
    assert_eq!(
        tale.session.reattach(),
        Some(Effect::Save { turn: TurnId(1) })
    );
    tale.take(Input::Saved {
        turn: TurnId(1),
        save: Ok(Some(7)),
    });
    let ended = |event: &&Event| matches!(&event.body, EventBody::Status(status) if status.state == TurnState::Ended);
    let first = tale.log.iter().find(ended).unwrap();
    assert!(matches!(&first.body, EventBody::Status(status) if status.save == Some(7)));
    assert_eq!(tale.started, [TurnId(1), TurnId(2)]);

    // One that can't be saved says so, and has ended as well as it did.
    tale.record(end(Outcome::Completed));
    tale.save(false);
    let told = kinds(&tale.log);
    assert_eq!(
        told[told.len() - 2..],
        ["turn-2 error", "turn-2 status ended completed"]
    );
}

#[test]
fn a_turn_whose_sandbox_goes_before_it_is_saved_has_failed() {
    let mut tale = Tale::new();
    tale.say("a");
    tale.record_of(vec![tool_use()], end(Outcome::Completed));
    let lose = |sandbox_gone| Input::Lost {
        turn: TurnId(1),
        problem: Problem::new(ProblemKind::SandboxFailed, "The sandbox was killed"),
        sandbox_gone,
    };
    tale.take(lose(false));
    assert!(tale.session.reattach().is_some(), "it is still to be saved");
    tale.take(lose(true));
    let told = kinds(&tale.log);
    assert_eq!(
        told[told.len() - 2..],
        ["turn-1 error", "turn-1 status ended failed"]
    );
}

#[test]
fn a_turn_that_has_done_nothing_is_begun_anew_in_another_sandbox() {
    let lose = |tale: &mut Tale| {
        tale.take(Input::Lost {
            turn: TurnId(1),
            problem: Problem::new(ProblemKind::SandboxFailed, "The sandbox was killed"),
            sandbox_gone: true,
        });
    };
    let mut tale = Tale::new();
    tale.say("a");
    tale.record(None);
    lose(&mut tale);
    assert_eq!(tale.started, [TurnId(1), TurnId(1)]);
    assert_eq!(tale.session.position.n, 0);
    tale.record_of(vec![tool_use()], None);
    lose(&mut tale);
    assert_eq!(tale.started.len(), 2, "a tool has run");
    assert_eq!(
        kinds(&tale.log).last().unwrap(),
        "turn-1 status ended failed"
    );
}

#[test]
fn a_launch_that_fails_is_taken_back() {
    let child = protocol::SessionId::parse("child").unwrap();
    let mut tale = Tale::new();
    tale.say("a");
    let before = tale.log.len();
    for _ in 0..2 {
        tale.take(Input::Launching {
            child: child.clone(),
        });
    }
    assert_eq!(tale.session.state.children, std::slice::from_ref(&child));
    tale.take(Input::NotLaunched {
        child: child.clone(),
    });
    assert!(tale.session.state.children.is_empty());
    assert_eq!(tale.log.len(), before, "nothing has been launched");
    tale.take(Input::Launching {
        child: child.clone(),
    });
    tale.take(Input::Launched {
        child: child.clone(),
        config_id: "c".to_owned(),
    });
    assert_eq!(tale.session.state.children, [child]);
    assert_eq!(kinds(&tale.log).last().unwrap(), "turn-1 session_launched");
}
