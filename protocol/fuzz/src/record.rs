//! Any lines as what a sandbox says of a turn: the session's log stays one that can be read, and what is
//! not the sandbox's to say is not in it.

use protocol::sandbox::Record;
use protocol::{Event, EventBody, SessionId, TurnState};
use session::{Input, Session};

const PERSONS: &str = "m";

pub fn run(data: &[u8]) {
    let mut session = Session::new(SessionId::parse("s").expect("a name"));
    let said = Input::Message {
        id: PERSONS.to_owned(),
        content: "hi".to_owned(),
        model: None,
        mode: None,
    };
    let mut log = session.step(said, 1).expect("it is taken").events;
    let turn = session.state.current.as_ref().expect("it runs").id;
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(record) = serde_json::from_slice::<Record>(line) else {
            continue;
        };
        // As it is, and as the next that is waited for.
        let n = session.position.n + 1;
        for record in [record.clone(), Record { n, ..record }] {
            let record = Input::Record {
                turn,
                record,
                spent: None,
            };
            log.extend(
                session
                    .step(record, 2)
                    .expect("records are taken or left")
                    .events,
            );
        }
    }
    let saved = Input::Saved {
        turn,
        save: Ok(Some(1)),
    };
    log.extend(session.step(saved, 3).expect("it is taken").events);
    let mut ends = 0;
    for (place, event) in log.iter().enumerate() {
        assert_eq!(event.seq, place as u64 + 1);
        let stored = serde_json::to_string(event).expect("an event is JSON");
        assert!(!stored.contains('\n'), "a row is read by lines");
        let read: Event = serde_json::from_str(&stored).expect("an event is read");
        assert_eq!(serde_json::to_string(&read).expect("JSON"), stored);
        match &event.body {
            EventBody::UserMessage { id, .. } => assert_eq!((id.as_str(), place), (PERSONS, 0)),
            EventBody::Status(status) => ends += usize::from(status.state == TurnState::Ended),
            _ => {}
        }
    }
    assert_eq!(ends, usize::from(session.state.current.is_none()));
}
