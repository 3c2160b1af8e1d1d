//! What each fuzz target tries. The targets themselves hand over their bytes and nothing more, so that
//! a compiler without sanitizers can try the same: `tests/fuzz.rs` runs all of this on the seeds and
//! on bytes at random.

use litellm_router::translate::incoming::Incoming;

pub mod chat_request;
pub mod chat_stream;
pub mod config;
pub mod message_stream;
pub mod passed_through;
pub mod request;

/// A target, by the name of its file.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("chat_request", chat_request::run),
    ("chat_stream", chat_stream::run),
    ("config", config::run),
    ("message_stream", message_stream::run),
    ("passed_through", passed_through::run),
    ("request", request::run),
];

/// Cuts by a simple generator of numbers, so that the input is the provider's bytes alone.
fn pieces(bytes: &[u8], mut seed: u32) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + (seed >> 24) as usize % 40;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// How much longer events may be than what they say: each token comes in its own.
const GROWTH: usize = 200;
const CONSTANT: usize = 16 * 1024;

/// What streams of a kind make of a provider's bytes: the same whether these come at once or in pieces,
/// and no more than so many times as much.
fn told<S: Incoming>(bytes: &[u8], seed: u32, stream: impl Fn() -> S) -> Vec<u8> {
    let whole = all_of(&mut stream(), vec![bytes]);
    let cut = all_of(&mut stream(), pieces(bytes, seed));
    assert!(whole == cut, "the pieces make a difference");
    assert!(
        whole.len() <= bytes.len() * GROWTH + CONSTANT,
        "too much is made of it"
    );
    whole
}

/// All that a stream makes of what comes in these pieces.
fn all_of(stream: &mut dyn Incoming, pieces: Vec<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        stream.push(piece);
        out.extend(stream.take());
    }
    stream.finish();
    out.extend(stream.take());
    assert!(stream.is_done());
    out
}
