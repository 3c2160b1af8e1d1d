//! Single histories, each with what it must come to.

use protocol::sandbox::{Record, TurnEnd};
use protocol::{Event, EventBody, Outcome, Problem, ProblemKind, TurnId, TurnState};

use super::{Act, World, end, tool_use};
use crate::{Effect, Input};

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
    world.finish(Outcome::Completed);
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
    world.finish(Outcome::Completed);
    world.finish(Outcome::Completed);
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
            mode: None,
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
        mode: None,
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
        sandbox_gone: false,
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
    world.act(Act::Save { works: true });
    let last = serde_json::to_string(world.log.last().unwrap()).unwrap();
    assert!(
        last.len() < 20_000 && last.contains("\"ended\""),
        "{} bytes",
        last.len()
    );
}

#[test]
fn a_turn_ends_when_it_is_saved() {
    let mut world = World::new();
    world.say("a".to_owned());
    world.say("b".to_owned());
    world.record(end(Outcome::Completed));
    assert_eq!(
        world.started,
        [TurnId(1)],
        "the next one waits for the save"
    );
    assert_eq!(
        world.session.reattach(),
        Some(Effect::Save { turn: TurnId(1) })
    );
    world.take(Input::Saved {
        turn: TurnId(1),
        save: Ok(Some(7)),
    });
    let ended = |event: &&Event| matches!(&event.body, EventBody::Status(status) if status.state == TurnState::Ended);
    let first = world.log.iter().find(ended).unwrap();
    assert!(matches!(&first.body, EventBody::Status(status) if status.save == Some(7)));
    assert_eq!(world.started, [TurnId(1), TurnId(2)]);

    // One that can't be saved says so, and has ended as well as it did.
    world.record(end(Outcome::Completed));
    world.act(Act::Save { works: false });
    let told = kinds(&world.log);
    assert_eq!(
        told[told.len() - 2..],
        ["turn-2 error", "turn-2 status ended completed"]
    );
}

#[test]
fn a_turn_that_has_done_nothing_is_begun_anew_in_another_sandbox() {
    let lose = |world: &mut World| {
        world.take(Input::Lost {
            turn: TurnId(1),
            problem: Problem::new(ProblemKind::SandboxFailed, "The sandbox was killed"),
            sandbox_gone: true,
        });
    };
    let mut world = World::new();
    world.say("a".to_owned());
    world.record(None);
    lose(&mut world);
    assert_eq!(world.started, [TurnId(1), TurnId(1)]);
    assert_eq!(world.session.position.n, 0);
    world.record_of(vec![tool_use()], None);
    lose(&mut world);
    assert_eq!(world.started.len(), 2, "a tool has run");
    assert_eq!(
        kinds(&world.log).last().unwrap(),
        "turn-1 status ended failed"
    );
}
