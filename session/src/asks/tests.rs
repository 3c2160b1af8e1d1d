use protocol::sandbox::Record;
use protocol::{Event, SessionId};

use super::*;
use crate::{Input, Session, Step};

/// A session whose turn asks for Bash, a plan, and a question.
fn asked() -> Session {
    let mut session = Session::new(SessionId::parse("s").unwrap());
    let message = Input::Message {
        id: "m".to_owned(),
        content: "hi".to_owned(),
        model: None,
        mode: Some(PermissionMode::Plan),
    };
    session.step(message, 0).unwrap();
    let (input, asked) = (json!({}), Asked::default());
    let request = |id: &str, tool: &str, rules: &[&str]| EventBody::PermissionRequest {
        content: tool.to_owned(),
        request_id: id.to_owned(),
        tool: tool.to_owned(),
        input: json!({}),
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        asked: Asked::default(),
    };
    let record = Record {
        n: 1,
        events: vec![
            request("a", "Bash", &["Bash(npm test *)"]),
            request("b", "ExitPlanMode", &[]),
            EventBody::Question {
                content: "?".to_owned(),
                request_id: "c".to_owned(),
                input,
                asked,
            },
            request("a", "Bash", &["Bash(twice)"]),
        ],
        ..Record::default()
    };
    let turn = TurnId(1);
    let record = Input::Record {
        turn,
        record,
        spent: None,
    };
    session.step(record, 1000).unwrap();
    assert_eq!(session.state.open.len(), 3);
    session
}

fn answer(session: &mut Session, request: &str, answer: Value) -> Result<Step, Problem> {
    let Value::Object(fields) = answer else {
        panic!()
    };
    let input = Input::Answer {
        request_id: request.to_owned(),
        answer: Answer::from_fields(fields)?,
        by: "somebody".to_owned(),
    };
    session.step(input, 2000)
}

fn decisions(events: &[Event]) -> Vec<(Decision, String)> {
    let of = |event: &Event| match &event.body {
        EventBody::PermissionResponse {
            behavior, content, ..
        } => Some((*behavior, content.clone())),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[test]
fn one_too_many_is_denied_at_once() {
    let mut session = asked();
    let request = |n: usize| EventBody::PermissionRequest {
        content: "Bash".to_owned(),
        request_id: format!("more-{n}"),
        tool: "Bash".to_owned(),
        input: json!({}),
        rules: Vec::new(),
        asked: Asked::default(),
    };
    let record = Record {
        n: 2,
        events: (3..=MAX_OPEN).map(request).collect(),
        ..Record::default()
    };
    let record = Input::Record {
        turn: TurnId(1),
        record,
        spent: None,
    };
    let step = session.step(record, 1000).unwrap();
    assert_eq!(session.state.open.len(), MAX_OPEN);
    let denied = decisions(&step.events);
    assert!(matches!(&denied[..], [(Decision::Deny, words)] if words.contains("too many")));
    // The agent hears it, so that its tool does not wait for ever.
    assert!(matches!(&step.effects[..], [Effect::Answer { .. }]));
    let told = session.state.untold.last().unwrap();
    assert!(matches!(&told.verdict, Verdict::Deny { .. }));
    assert_eq!(told.agent_id, format!("more-{MAX_OPEN}"));
}

#[test]
fn the_first_answer_counts() {
    let mut session = asked();
    let step = answer(&mut session, "ask-1", json!({"behavior": "allow"})).unwrap();
    assert_eq!(
        decisions(&step.events),
        [(Decision::Allow, "Allowed".to_owned())]
    );
    let late = answer(&mut session, "ask-1", json!({"behavior": "deny"})).unwrap_err();
    assert_eq!(late.status(), 409);
    for never in ["ask-4", "ask-0", "a", ""] {
        let never = answer(&mut session, never, json!({"behavior": "deny"})).unwrap_err();
        assert_eq!(never.status(), 404);
    }
}

#[test]
fn what_is_allowed_for_the_session_is_told_until_it_is_heard() {
    let mut session = asked();
    answer(&mut session, "ask-1", json!({"behavior": "allow_session"})).unwrap();
    assert_eq!(session.state.rules, ["Bash(npm test *)"]);
    let told = [Effect::Answer {
        request_id: "ask-1".to_owned(),
    }];
    assert_eq!(session.retell(), told);
    let heard = Input::Answered {
        request_id: "ask-1".to_owned(),
    };
    session.step(heard, 3000).unwrap();
    assert_eq!(session.retell(), []);
    let remove = |rule: &str| Input::RemoveRule {
        rule: rule.to_owned(),
    };
    session.step(remove("Bash(npm test *)"), 4000).unwrap();
    assert!(session.state.rules.is_empty());
    assert!(matches!(session.retell()[..], [Effect::Settings { .. }]));
    assert_eq!(session.step(remove("x"), 4000).unwrap_err().status(), 404);
}

#[test]
fn a_plan_is_carried_out_in_the_mode_that_its_approval_names() {
    let mut session = asked();
    assert_eq!(session.mode(), PermissionMode::Plan);
    answer(
        &mut session,
        "ask-2",
        json!({"behavior": "allow", "mode": "acceptEdits"}),
    )
    .unwrap();
    assert_eq!(session.mode(), PermissionMode::AcceptEdits);
    let mut session = asked();
    answer(
        &mut session,
        "ask-2",
        json!({"behavior": "deny", "message": "More detail"}),
    )
    .unwrap();
    assert_eq!(session.mode(), PermissionMode::Plan);
    let Verdict::Deny { message } = &session.state.untold[0].verdict else {
        panic!()
    };
    assert!(message.ends_with("They said: More detail"), "{message}");
}

#[test]
fn an_answer_has_to_fit_the_request() {
    let mut session = asked();
    for (request, given, field) in [
        ("ask-1", json!({"answers": {"a": "b"}}), "answers"),
        (
            "ask-1",
            json!({"behavior": "allow", "mode": "plan"}),
            "mode",
        ),
        (
            "ask-1",
            json!({"behavior": "allow_session", "updated_input": {}}),
            "updated_input",
        ),
        ("ask-2", json!({"behavior": "allow_session"}), "behavior"),
        (
            "ask-2",
            json!({"behavior": "allow", "mode": "bypassPermissions"}),
            "mode",
        ),
        (
            "ask-2",
            json!({"behavior": "allow", "updated_input": {}}),
            "updated_input",
        ),
        ("ask-3", json!({"behavior": "allow"}), "answers"),
        ("ask-3", json!({"answers": {}}), "answers"),
    ] {
        let problem = answer(&mut session, request, given.clone()).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some(field), "{request} {given}");
    }
    assert_eq!(session, asked());
}

#[test]
fn what_nobody_answers_is_denied_in_time() {
    let mut session = asked();
    let at = session.next_expiry().unwrap();
    assert_eq!(at, 1000 + DEFAULT_PATIENCE);
    assert_eq!(
        session.step(Input::Expire, at - 1).unwrap(),
        Step::default()
    );
    let step = session.step(Input::Expire, at).unwrap();
    let decisions = decisions(&step.events);
    assert_eq!(decisions.len(), 3);
    assert!(
        decisions
            .iter()
            .all(|(decision, _)| *decision == Decision::Expired)
    );
    assert!(session.state.untold.iter().all(|untold| matches!(
        &untold.verdict,
        Verdict::Deny { message } if message.contains("10 min")
    )));
    assert_eq!(session.next_expiry(), None);
}

#[test]
fn an_interrupt_withdraws_what_is_asked() {
    let mut session = asked();
    let step = session.step(Input::Interrupt { turn: None }, 2000).unwrap();
    assert_eq!(decisions(&step.events).len(), 3);
    let late = answer(&mut session, "ask-1", json!({"behavior": "allow"})).unwrap_err();
    assert_eq!(late.status(), 409);
}

#[test]
fn a_waiting_messages_mode_counts_from_its_turn_on() {
    let mut session = asked();
    for (id, mode) in [("m2", Some(PermissionMode::AcceptEdits)), ("m3", None)] {
        let message = Input::Message {
            id: id.to_owned(),
            content: "hi".to_owned(),
            model: None,
            mode,
        };
        session.step(message, 0).unwrap();
    }
    assert_eq!(session.mode(), PermissionMode::Plan);
    for _ in 0..2 {
        session.step(Input::Interrupt { turn: None }, 0).unwrap();
    }
    assert_eq!(session.mode(), PermissionMode::AcceptEdits);
    session.step(Input::Interrupt { turn: None }, 0).unwrap();
    assert_eq!(session.mode(), PermissionMode::AcceptEdits);
}
