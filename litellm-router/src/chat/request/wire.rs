//! The request of chat completions, as far as this router reads it
//! (<https://platform.openai.com/docs/api-reference/chat/create>).
//!
//! A field that is null counts as absent, because the SDKs write what they have read back with all
//! its nulls. Unknown fields are passed over.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde_json::value::RawValue;

#[derive(Debug, Deserialize)]
pub struct ChatRequest<'a> {
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    #[serde(borrow)]
    pub messages: Vec<Message<'a>>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub max_tokens: Option<i64>,
    pub max_completion_tokens: Option<i64>,
    pub n: Option<i64>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    /// No field of OpenAI's, but its clients send it to Anthropic's models.
    pub top_k: Option<i64>,
    #[serde(default, deserialize_with = "strings")]
    pub stop: Vec<String>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub tools: Vec<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub functions: Vec<Function<'a>>,
    #[serde(borrow)]
    pub tool_choice: Option<&'a RawValue>,
    #[serde(borrow)]
    pub function_call: Option<&'a RawValue>,
    pub parallel_tool_calls: Option<bool>,
    pub reasoning_effort: Option<String>,
    /// Anthropic's own field, which its models get as it is.
    #[serde(borrow)]
    pub thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    pub response_format: Option<ResponseFormat<'a>>,
    pub user: Option<String>,
    pub safety_identifier: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub struct StreamOptions {
    pub include_usage: Option<bool>,
}

/// One message of any role. A field that its role does not have is empty.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    #[serde(borrow)]
    pub role: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "parts")]
    pub content: Vec<Part<'a>>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub refusal: Cow<'a, str>,
    /// The function that a message of the old role `function` answers for.
    #[serde(borrow, default, deserialize_with = "text")]
    pub name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub tool_call_id: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub tool_calls: Vec<ToolCall<'a>>,
    #[serde(borrow)]
    pub function_call: Option<FunctionCall<'a>>,
    /// Blocks of Anthropic's that LiteLLM's clients send back (see [`crate::chat::reply`]).
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub thinking_blocks: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub cache_control: Option<&'a RawValue>,
}

/// One part of a content. A plain string counts as one text part.
#[derive(Debug, Default, Deserialize)]
pub struct Part<'a> {
    #[serde(borrow, default, rename = "type", deserialize_with = "text")]
    pub kind: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub text: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub refusal: Cow<'a, str>,
    #[serde(borrow)]
    pub image_url: Option<ImageUrl<'a>>,
    #[serde(borrow)]
    pub file: Option<File<'a>>,
    /// Where the part is one of Anthropic's blocks.
    #[serde(borrow)]
    pub source: Option<&'a RawValue>,
    #[serde(borrow)]
    pub cache_control: Option<&'a RawValue>,
}

/// `{"url"}`, or the URL alone as some clients write it.
#[derive(Debug)]
pub struct ImageUrl<'a>(pub Cow<'a, str>);

#[derive(Debug, Default, Deserialize)]
pub struct File<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    pub file_data: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub filename: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub format: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub struct ToolCall<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    pub id: Cow<'a, str>,
    #[serde(borrow)]
    pub function: Option<FunctionCall<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct FunctionCall<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    pub name: Cow<'a, str>,
    /// JSON text in a string; some clients send the object itself.
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
}

/// A function on offer.
#[derive(Debug, Deserialize)]
pub struct Function<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    pub name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub description: Cow<'a, str>,
    #[serde(borrow)]
    pub parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    pub cache_control: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub struct ResponseFormat<'a> {
    #[serde(borrow, default, rename = "type", deserialize_with = "text")]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub json_schema: Option<JsonSchema<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct JsonSchema<'a> {
    #[serde(borrow)]
    pub schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// A string or null.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    let text = Option::<Borrowed>::deserialize(deserializer)?;
    Ok(text.map(|text| text.0).unwrap_or_default())
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A string, a list of strings, or null.
fn strings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Strings;
    impl<'de> Visitor<'de> for Strings {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a string or a list of strings")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
        fn visit_str<E>(self, one: &str) -> Result<Self::Value, E> {
            Ok(vec![one.to_owned()])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut strings = Vec::new();
            while let Some(string) = list.next_element()? {
                strings.push(string);
            }
            Ok(strings)
        }
    }
    deserializer.deserialize_any(Strings)
}

/// Content: a string, a list of parts, or null.
fn parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Part<'de>>, D::Error> {
    struct Content;
    impl<'de> Visitor<'de> for Content {
        type Value = Vec<Part<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a string or a list of content parts")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(vec![Part::text(Cow::Borrowed(text))])
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![Part::text(Cow::Owned(text.to_owned()))])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut parts = Vec::new();
            while let Some(part) = list.next_element()? {
                parts.push(part);
            }
            Ok(parts)
        }
    }
    deserializer.deserialize_any(Content)
}

impl<'a> Part<'a> {
    fn text(text: Cow<'a, str>) -> Self {
        Self {
            kind: Cow::Borrowed("text"),
            text,
            ..Self::default()
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ImageUrl<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow)]
            url: Cow<'a, str>,
        }
        struct Url;
        impl<'de> Visitor<'de> for Url {
            type Value = ImageUrl<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object with a url")
            }
            fn visit_borrowed_str<E>(self, url: &'de str) -> Result<Self::Value, E> {
                Ok(ImageUrl(Cow::Borrowed(url)))
            }
            fn visit_str<E>(self, url: &str) -> Result<Self::Value, E> {
                Ok(ImageUrl(Cow::Owned(url.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let object = Object::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ImageUrl(object.url))
            }
        }
        deserializer.deserialize_any(Url)
    }
}
