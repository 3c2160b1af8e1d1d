//! The cases of the translation, each named after its number: R for requests, N for whole answers,
//! S for streams.

mod reasoning;
mod request;
mod rescue;
mod response;
mod stream;
mod stream_calls;

use super::asked::Asked;
use super::completion::Terms;
use crate::error::KeyOwner;
use crate::reply::Identity;

fn terms(streams: bool) -> Terms {
    Terms {
        identity: Identity {
            id: "msg_1".into(),
            model: "asked/model".into(),
        },
        streams,
        asked: Asked::default(),
        provider: "groq",
        key_owner: KeyOwner::Router,
        wants_thinking: true,
        input_estimate: 7,
    }
}
