//! The request of Anthropic's Messages API, as far as this router reads it
//! (<https://docs.anthropic.com/en/api/messages>).
//!
//! The lists are open: a block of an unknown type, an unknown key, a role that is new are all parsed,
//! and whoever uses them decides. Strings are borrowed from the body where they hold no escapes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::controls::{self, Controls};
use crate::error::Refusal;
use crate::malformed;

/// What is wrong with a conversation in which nobody has said anything.
pub const NOTHING_SAID: &str = "messages: at least one message is required";

/// A request for a message or for a count of tokens.
#[derive(Debug, Deserialize)]
pub struct MessagesRequest<'a> {
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    #[serde(default, deserialize_with = "max_tokens")]
    pub max_tokens: Option<u64>,
    #[serde(borrow, default, deserialize_with = "blocks")]
    pub system: Vec<Block<'a>>,
    #[serde(borrow)]
    pub messages: Vec<Turn<'a>>,
    #[serde(borrow, default, deserialize_with = "list_or_null")]
    pub tools: Vec<Tool<'a>>,
    #[serde(borrow)]
    pub tool_choice: Option<ToolChoice<'a>>,
    pub stream: Option<bool>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    #[serde(default, deserialize_with = "list_or_null")]
    pub stop_sequences: Vec<String>,
    #[serde(borrow)]
    pub thinking: Option<Thinking<'a>>,
    #[serde(borrow)]
    pub output_config: Option<OutputConfig<'a>>,
    /// The former name of `output_config.format`.
    #[serde(borrow)]
    pub output_format: Option<OutputFormat<'a>>,
    #[serde(borrow)]
    pub metadata: Option<Metadata<'a>>,
    /// What it asks of the router itself.
    #[serde(skip)]
    pub controls: Controls,
}

/// One message: who speaks, and the blocks that were said. A plain string counts as one text block.
#[derive(Debug, Deserialize)]
pub struct Turn<'a> {
    #[serde(borrow)]
    pub role: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "blocks")]
    pub content: Vec<Block<'a>>,
}

/// One block of any type. A field that its type does not have is empty, and so is one that holds
/// something else than expected: a block of a type that is new may use any name for anything.
#[derive(Debug, Default, Deserialize)]
pub struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub text: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub id: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub name: Cow<'a, str>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub tool_use_id: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "blocks")]
    pub content: Vec<Block<'a>>,
    pub is_error: Option<bool>,
    #[serde(borrow, default, deserialize_with = "source")]
    pub source: Option<Source<'a>>,
    /// Of a document.
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub title: Cow<'a, str>,
    /// The tool that a search has found.
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub tool_name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub thinking: Cow<'a, str>,
    /// Under thinking.
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub signature: Cow<'a, str>,
    /// Of redacted thinking.
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub data: Cow<'a, str>,
    #[serde(borrow)]
    pub cache_control: Option<&'a RawValue>,
}

impl<'a> Block<'a> {
    fn text(text: Cow<'a, str>) -> Self {
        Self {
            kind: Cow::Borrowed("text"),
            text,
            ..Self::default()
        }
    }
}

/// Where an image or a document comes from.
#[derive(Debug, Default, Deserialize)]
pub struct Source<'a> {
    #[serde(borrow, default, rename = "type", deserialize_with = "text_or_nothing")]
    pub kind: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub media_type: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub data: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub url: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "blocks")]
    pub content: Vec<Block<'a>>,
}

/// A tool on offer. One without `input_schema` runs at Anthropic's side and exists nowhere else.
#[derive(Debug, Deserialize)]
pub struct Tool<'a> {
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub description: Cow<'a, str>,
    #[serde(borrow)]
    pub input_schema: Option<&'a RawValue>,
    /// The model is to know of this tool only after a search has found it.
    #[serde(default)]
    pub defer_loading: Option<bool>,
}

/// What the model must do about tools.
#[derive(Debug, Deserialize)]
pub struct ToolChoice<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(default)]
    pub disable_parallel_tool_use: bool,
}

/// Whether and how much the model is to think: `enabled` with a budget, `adaptive` or `disabled`.
#[derive(Debug, Deserialize)]
pub struct Thinking<'a> {
    #[serde(borrow, default, rename = "type", deserialize_with = "text_or_nothing")]
    pub kind: Cow<'a, str>,
    pub budget_tokens: Option<u64>,
}

/// Who asks.
#[derive(Debug, Deserialize)]
pub struct Metadata<'a> {
    /// Claude Code puts JSON with its session's id into it.
    #[serde(borrow)]
    pub user_id: Option<&'a RawValue>,
}

/// How the answer is to look, and how much effort goes into it.
#[derive(Debug, Deserialize)]
pub struct OutputConfig<'a> {
    #[serde(borrow)]
    pub format: Option<OutputFormat<'a>>,
    /// `low`, `medium`, `high`, `xhigh` or `max`.
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    pub effort: Cow<'a, str>,
}

/// A JSON schema that the answer has to fit.
#[derive(Debug, Deserialize)]
pub struct OutputFormat<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub schema: Option<&'a RawValue>,
}

impl<'a> MessagesRequest<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// 400 with the place and the reason, where it is not JSON or not such a request.
    pub fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        let (mut request, controls) = controls::read::<Self>(body)
            .map_err(|error| malformed::refusal(body, "a Messages request", &error))?;
        request.controls = controls;
        Ok(request)
    }

    /// The same for a body that somebody is to be asked with.
    ///
    /// # Errors
    /// As [`Self::parse`], and where nothing is said in it.
    pub fn parse_call(body: &'a [u8]) -> Result<Self, Refusal> {
        let request = Self::parse(body)?;
        if request.messages.is_empty() {
            return Err(Refusal::new(400, NOTHING_SAID));
        }
        Ok(request)
    }

    /// Whether the answer is to come as events.
    pub fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// The JSON schema that the answer has to fit.
    pub fn schema(&self) -> Option<&'a RawValue> {
        let configured = self
            .output_config
            .as_ref()
            .and_then(|config| config.format.as_ref());
        configured.or(self.output_format.as_ref())?.schema
    }

    /// Whether the caller wants to see the model think.
    pub fn wants_thinking(&self) -> bool {
        self.thinking
            .as_ref()
            .is_some_and(|thinking| thinking.kind != "disabled")
    }
}

fn list_or_null<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A limit on tokens: a whole number that is not negative.
fn max_tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Tokens;
    impl Tokens {
        fn refuse<E: serde::de::Error>(number: impl Into<serde_json::Number>) -> E {
            let number = number.into();
            E::custom(format_args!(
                "must be a whole number of tokens, and not {number}"
            ))
        }
    }
    impl Visitor<'_> for Tokens {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a whole number of tokens")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_u64<E>(self, tokens: u64) -> Result<Self::Value, E> {
            Ok(Some(tokens))
        }
        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
            Err(Self::refuse(number))
        }
        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
            let number = serde_json::Number::from_f64(number);
            Err(Self::refuse(number.unwrap_or_else(|| 0.into())))
        }
    }
    deserializer.deserialize_any(Tokens)
}

/// Text, or "" for whatever else.
fn text_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("anything")
        }
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(""))
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(""))
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(""))
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(""))
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(""))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Cow::Borrowed(""))
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Cow::Borrowed(""))
        }
    }
    deserializer.deserialize_any(Text)
}

/// A source: an object, or an address alone as a search result has it.
fn source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Source<'de>>, D::Error> {
    struct ObjectOrUrl;
    impl ObjectOrUrl {
        fn url(url: Cow<'_, str>) -> Source<'_> {
            Source {
                url,
                ..Source::default()
            }
        }
    }
    impl<'de> Visitor<'de> for ObjectOrUrl {
        type Value = Option<Source<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a source")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_borrowed_str<E>(self, url: &'de str) -> Result<Self::Value, E> {
            Ok(Some(Self::url(Cow::Borrowed(url))))
        }
        fn visit_str<E>(self, url: &str) -> Result<Self::Value, E> {
            Ok(Some(Self::url(Cow::Owned(url.to_owned()))))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Source::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
    deserializer.deserialize_any(ObjectOrUrl)
}

/// Content: a string, a list of blocks, one block, or nothing at all.
fn blocks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Block<'de>>, D::Error> {
    struct Content;
    impl<'de> Visitor<'de> for Content {
        type Value = Vec<Block<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a string or a list of content blocks")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(vec![Block::text(Cow::Borrowed(text))])
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![Block::text(Cow::Owned(text.to_owned()))])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut blocks = Vec::new();
            while let Some(block) = list.next_element()? {
                blocks.push(block);
            }
            Ok(blocks)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            // Some blocks hold one object in `content` where others hold a list.
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(vec![Block::default()])
        }
    }
    deserializer.deserialize_any(Content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_one_text_block() {
        let body =
            br#"{"model":"m","system":"s","messages":[{"role":"user","content":"hi \"you\""}]}"#;
        let request = MessagesRequest::parse(body).unwrap();
        assert_eq!(request.system[0].text, "s");
        assert_eq!(request.messages[0].content[0].text, "hi \"you\"");
        assert!(!request.streams());
    }

    #[test]
    fn what_is_unknown_does_not_disturb() {
        let body = br#"{"model":"m","speed":"fast","tools":null,"messages":[
            {"role":"oracle","content":[{"type":"hologram","content":{"type":"x"}},
             {"type":"tool_result","tool_use_id":"t","content":null},
             {"type":"search_result","source":"https://x","title":null,"content":[{"type":"text","text":"t"}]},
             {"type":"new","text":{"a":1},"data":[1],"thinking":7,"source":{"type":null,"data":1}}]}]}"#;
        let request = MessagesRequest::parse(body).unwrap();
        let content = &request.messages[0].content;
        assert_eq!(content.len(), 4);
        assert_eq!(content[2].source.as_ref().unwrap().url, "https://x");
    }

    #[test]
    fn a_wrong_body_is_told_where_and_why() {
        let refused = |body: &str| MessagesRequest::parse(body.as_bytes()).unwrap_err().message;
        insta::assert_snapshot!(refused(r#"{"model":"m","messages":[{"role":"user","content":7}]}"#),
            @"messages[0].content: invalid type: integer `7`, expected a string or a list of content blocks at line 1 column 51");
        insta::assert_snapshot!(refused(r#"{"messages":[]}"#),
            @"the body is not a Messages request: missing field `model` at line 1 column 15");
        insta::assert_snapshot!(refused(r#"{"model":"m","messages":[],"max_tokens":-1}"#),
            @"max_tokens: must be a whole number of tokens, and not -1 at line 1 column 42");
        insta::assert_snapshot!(refused(r#"{"model":"m","messages":[],"max_tokens":1e30}"#),
            @"max_tokens: must be a whole number of tokens, and not 1e+30 at line 1 column 44");
        insta::assert_snapshot!(refused("{"),
            @"the body is not a Messages request: EOF while parsing an object at line 1 column 1");
    }
}
