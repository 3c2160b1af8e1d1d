//! A chunk of a provider's stream as nearly all of them are, read without a tree of values between
//! the bytes and the words.
//!
//! Whatever is read here means the same as it means to [`Completion::take`]; what is anything else
//! than usual is not read at all, and left to that.
//!
//! [`Completion::take`]: super::completion::Completion::take

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::tool_calls::Piece;

#[derive(Deserialize)]
pub struct Chunk<'a> {
    #[serde(borrow)]
    object: Option<Text<'a>>,
    /// Nothing but null.
    #[serde(default)]
    #[expect(dead_code, reason = "says what may not be there")]
    error: (),
    pub usage: Option<Value>,
    pub x_groq: Option<Groq>,
    #[serde(borrow)]
    pub choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
pub struct Groq {
    pub usage: Option<Value>,
}

#[derive(Deserialize)]
pub struct Choice<'a> {
    #[serde(borrow)]
    pub delta: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    pub usage: Option<Value>,
    stop_reason: Option<Value>,
    matched_stop: Option<Value>,
}

#[derive(Deserialize)]
pub struct Delta<'a> {
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(default)]
    #[expect(dead_code, reason = "says what may not be there")]
    reasoning_details: (),
    #[serde(default)]
    #[expect(dead_code, reason = "says what may not be there")]
    function_call: (),
}

#[derive(Deserialize)]
struct Call<'a> {
    index: Option<i64>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

/// Borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn or_empty<'t>(text: &'t Option<Text<'_>>) -> &'t str {
    text.as_ref().map_or("", |text| &text.0)
}

impl<'a> Chunk<'a> {
    /// `None` for what is not as usual.
    pub fn read(data: &'a [u8]) -> Option<Self> {
        let chunk: Self = serde_json::from_slice(data).ok()?;
        (or_empty(&chunk.object) != "error").then_some(chunk)
    }
}

/// The stop sequence that ended an answer, by the word of a choice's `stop_reason`
/// (<https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>) or `matched_stop`
/// (<https://docs.sglang.ai/>). Both may be the number of a token instead, and other servers mean other
/// things by these names.
pub fn stop_told(told: [Option<&Value>; 2]) -> Option<&str> {
    told.into_iter().flatten().find_map(Value::as_str)
}

impl Choice<'_> {
    pub fn finish_reason(&self) -> Option<&str> {
        self.finish_reason.as_ref().map(|reason| &*reason.0)
    }

    /// See [`stop_told`].
    pub fn stop_told(&self) -> Option<&str> {
        stop_told([self.stop_reason.as_ref(), self.matched_stop.as_ref()])
    }
}

impl Delta<'_> {
    /// Reasoning in a field of its own; providers that have several fill them with the same.
    pub fn reasoning(&self) -> &str {
        match or_empty(&self.reasoning_content) {
            "" => or_empty(&self.reasoning),
            text => text,
        }
    }

    pub fn texts(&self) -> [&str; 2] {
        [or_empty(&self.content), or_empty(&self.refusal)]
    }

    pub fn calls(&self) -> impl Iterator<Item = Piece<'_>> {
        let calls = self.tool_calls.iter().flatten();
        calls.map(|call| {
            let function = call.function.as_ref();
            Piece {
                index: call.index,
                id: or_empty(&call.id),
                name: function.map_or("", |function| or_empty(&function.name)),
                arguments: function.map_or("", |function| or_empty(&function.arguments)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;
    use crate::error::KeyOwner;
    use crate::reply::Identity;
    use crate::translate::asked::Asked;
    use crate::translate::completion::{Completion, Terms};

    fn completion() -> Completion {
        Completion::new(Terms {
            identity: Identity {
                id: "msg_1".into(),
                model: "m".into(),
            },
            streams: true,
            asked: Asked {
                stops: vec!["END".into()],
                ..Asked::default()
            },
            provider: "groq",
            key_owner: KeyOwner::Router,
            wants_thinking: true,
            input_estimate: 7,
        })
    }

    fn read(value: &Value) -> bool {
        Chunk::read(value.to_string().as_bytes()).is_some()
    }

    #[test]
    fn usual_chunks_are_read_and_others_are_left() {
        let of = |delta: Value| {
            json!({"id": "c", "object": "chat.completion.chunk", "created": 1,
            "model": "m", "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]})
        };
        for usual in [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "a \"word\"", "refusal": null, "tool_calls": null}),
            json!({"reasoning": "thought", "channel": "analysis"}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
        ] {
            assert!(read(&of(usual.clone())), "{usual}");
        }
        assert!(read(
            &json!({"choices": [], "usage": {"prompt_tokens": 1}, "x_groq": {"id": "r"}})
        ));
        for other in [
            json!({"content": [{"type": "text", "text": "a"}]}),
            json!({"content": "", "reasoning_details": []}),
            json!({"function_call": {"name": "f"}}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": {}}}]}),
        ] {
            assert!(!read(&of(other.clone())), "{other}");
        }
        assert!(!read(&json!({"choices": [], "error": {"message": "m"}})));
        assert!(!read(&json!({"choices": [], "object": "error"})));
    }

    /// An object with some of these fields, each with some value of its own.
    fn object(fields: &[(&'static str, BoxedStrategy<Value>)]) -> BoxedStrategy<Value> {
        let fields: Vec<_> = fields
            .iter()
            .cloned()
            .map(|(name, value)| {
                let odd = prop_oneof![
                    Just(Value::Null),
                    Just(json!("")),
                    Just(json!(7)),
                    Just(json!(0.5)),
                    Just(json!({})),
                    Just(json!([])),
                ];
                let value = prop_oneof![6 => value, 1 => odd.boxed()];
                prop::option::weighted(0.6, value).prop_map(move |value| Some((name, value?)))
            })
            .collect();
        let object = fields.prop_map(|fields| {
            let fields = fields.into_iter().flatten();
            Value::Object(
                fields
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<Map<_, _>>(),
            )
        });
        object.boxed()
    }

    fn list(item: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
        prop::collection::vec(item, 0..3)
            .prop_map(Value::from)
            .boxed()
    }

    fn text(words: &'static str) -> BoxedStrategy<Value> {
        words.prop_map(Value::from).boxed()
    }

    fn chunk() -> BoxedStrategy<Value> {
        let number = || (0_u64..50).prop_map(Value::from).boxed();
        let usage = || object(&[("prompt_tokens", number()), ("completion_tokens", number())]);
        let function = object(&[
            ("name", text("f|g")),
            ("arguments", text(r#"\{|"a":|1|\}|[ -~]{0,3}"#)),
        ]);
        let call = object(&[
            ("index", number()),
            ("id", text("i|j")),
            ("function", function),
        ]);
        let said = || text("[a-c<>/\"\\\\\n]{0,4}|<think>|</think>");
        let delta = object(&[
            ("role", text("assistant")),
            ("content", said()),
            ("refusal", said()),
            ("reasoning", said()),
            ("reasoning_content", said()),
            ("tool_calls", list(call)),
        ]);
        let choice = object(&[
            ("delta", delta),
            ("finish_reason", text("stop|length|tool_calls|error")),
            ("stop_reason", text("END|other")),
            ("matched_stop", text("END|other")),
            ("usage", usage()),
        ]);
        let groq = object(&[("usage", usage())]);
        object(&[
            ("choices", list(choice)),
            ("usage", usage()),
            ("x_groq", groq),
            ("object", text("chat.completion.chunk|error")),
        ])
    }

    proptest! {
        #[test]
        fn a_chunk_means_the_same_whichever_way_it_is_read(
            chunks in prop::collection::vec(chunk(), 1..6)
        ) {
            let (mut by_value, mut by_chunk) = (completion(), completion());
            for value in &chunks {
                by_value.take(value, "delta");
                match Chunk::read(value.to_string().as_bytes()) {
                    Some(chunk) => by_chunk.take_chunk(&chunk),
                    None => by_chunk.take(value, "delta"),
                }
            }
            by_value.finish();
            by_chunk.finish();
            prop_assert_eq!(
                String::from_utf8(by_chunk.reply().take()),
                String::from_utf8(by_value.reply().take())
            );
            prop_assert_eq!(by_chunk.usage(), by_value.usage());
            prop_assert_eq!(by_chunk.has_reason(), by_value.has_reason());
        }
    }
}
