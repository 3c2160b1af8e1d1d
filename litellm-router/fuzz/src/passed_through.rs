//! Any bytes of a provider that speaks the caller's own dialect, in any pieces: no panic, the caller
//! gets the provider's bytes as far as they go, and after them nothing but an error of the router's.

use litellm_router::api::Api;
use litellm_router::pass_through::PassedThrough;
use litellm_router::translate::incoming::Incoming;
use serde_json::Value;

use super::{all_of, pieces};

/// How much longer than the provider's bytes an answer may be: an error comes after them, and where
/// events are written anew, each line of them is.
const CONSTANT: usize = 4 * 1024;

fn check(sent: &[u8], told: &[u8], api: Api) {
    assert!(
        told.len() <= sent.len() + CONSTANT,
        "too much is made of it"
    );
    if sent.starts_with(told) {
        return;
    }
    let begin = match api {
        Api::Messages => b"\n\nevent: error\ndata: ".as_slice(),
        Api::Chat => b"\n\ndata: ",
    };
    let at = (0..told.len())
        .rev()
        .find(|at| told[*at..].starts_with(begin))
        .expect("more than was sent, and no error");
    assert!(sent.starts_with(&told[..at]), "other bytes than were sent");
    let error: Value = serde_json::from_slice(&told[at + begin.len()..]).expect("an error is JSON");
    assert!(error["error"]["message"].is_string(), "{error}");
}

/// A chat whose usage stays here is written anew: each event is data, and nothing is but events.
fn check_rewritten(sent: &[u8], told: &[u8]) {
    assert!(
        told.len() <= sent.len() * 2 + CONSTANT,
        "too much is made of it"
    );
    let told = told.strip_prefix(b"\n\n").unwrap_or(told);
    for line in told.split(|byte| *byte == b'\n') {
        assert!(
            line.is_empty() || line.starts_with(b"data: "),
            "a line that is no data"
        );
    }
}

pub fn run(data: &[u8]) {
    let Some((&switches, bytes)) = data.split_first() else {
        return;
    };
    let api = if switches & 1 == 0 {
        Api::Messages
    } else {
        Api::Chat
    };
    let keeps_usage = api == Api::Chat && switches & 2 != 0;
    let new = || PassedThrough::new("provider", api, keeps_usage).answering(7);
    for pieces in [vec![bytes], pieces(bytes, u32::from(switches))] {
        let mut stream = new();
        let told = all_of(&mut stream, pieces);
        if keeps_usage {
            check_rewritten(bytes, &told);
        } else {
            check(bytes, &told, api);
        }
        let _ = stream.usage();
        let _ = stream.failed();
    }
    // Whoever has heard nothing can be told of a failure in another way.
    let mut stream = new();
    stream.push(bytes);
    stream.finish();
    let early = stream.early_failure();
    assert_eq!(early.is_some(), stream.failed().is_some());
    assert_eq!(Box::new(stream).answer().is_err(), early.is_some());
}
