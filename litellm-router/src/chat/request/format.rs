//! The form that an answer has to have.

use serde::Serialize;
use serde_json::value::RawValue;

use super::claude::Claude;
use super::wire::ResponseFormat;
use crate::error::Refusal;
use crate::json;
use crate::translate::schema::Ordered;

/// How the wish for JSON is said to the model.
#[derive(Debug, Default)]
pub enum Format {
    #[default]
    Text,
    /// `output_config.format`: the model cannot but fit the schema.
    Schema(Ordered),
    /// In words, at the end of the system prompt.
    Words(String),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "json_schema")]
pub struct JsonSchema {
    pub schema: Ordered,
}

/// What a `response_format` asks for, as far as `model` can be held to it.
///
/// # Errors
/// 400 for a format of an unknown type.
pub fn format(asked: Option<&ResponseFormat>, model: Claude) -> Result<Format, Refusal> {
    let Some(asked) = asked else {
        return Ok(Format::Text);
    };
    match &*asked.kind {
        "" | "text" => Ok(Format::Text),
        "json_object" => Ok(Format::Words(
            "Answer with one JSON object and nothing else: no text around it, no code fence."
                .into(),
        )),
        "json_schema" => {
            let raw = asked.json_schema.as_ref().and_then(|asked| asked.schema);
            let raw = raw.ok_or_else(|| {
                Refusal::new(400, "response_format.json_schema.schema: it is not there")
            })?;
            Ok(closed(raw)
                .filter(|_| model.takes_format())
                .map_or_else(|| Format::Words(in_words(raw)), Format::Schema))
        }
        other => {
            let shown: String = other.chars().take(100).collect();
            let message = format!("response_format.type: {shown} is not known");
            Err(Refusal::new(400, message))
        }
    }
}

fn in_words(schema: &RawValue) -> String {
    format!(
        "Answer with JSON and nothing else: no text around it, no code fence. The JSON has to fit \
         this schema:\n{}",
        schema.get()
    )
}

/// A schema that Anthropic takes: every object closed, and without the bounds on numbers, strings
/// and arrays that it refuses (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs>).
/// `None` where that would change what fits, as in an object with keys that are not known.
fn closed(schema: &RawValue) -> Option<Ordered> {
    let mut schema: Ordered = json::read(schema.get()).ok()?;
    matches!(schema, Ordered::Object(_)).then_some(())?;
    close(&mut schema)?;
    Some(schema)
}

const REFUSED: [&str; 16] = [
    "$schema",
    "$id",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "default",
    "examples",
];

fn close(schema: &mut Ordered) -> Option<()> {
    // `true` and `false` are schemas too.
    let Ordered::Object(entries) = schema else {
        return Some(());
    };
    entries.retain(|(key, _)| !REFUSED.contains(&key.as_str()));
    let mut is_object = false;
    for (key, value) in entries.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "$defs" | "definitions", Ordered::Object(named)) => {
                is_object |= key == "properties";
                named.iter_mut().try_for_each(|(_, inner)| close(inner))?;
            }
            ("anyOf" | "allOf", Ordered::Array(list)) => list.iter_mut().try_for_each(close)?,
            ("oneOf", Ordered::Array(list)) => {
                list.iter_mut().try_for_each(close)?;
                "anyOf".clone_into(key);
            }
            ("items", value) => close(value)?,
            ("type", Ordered::Scalar(kind)) => is_object |= kind == "object",
            ("type", Ordered::Array(kinds)) => {
                let object = Ordered::Scalar("object".into());
                is_object |= kinds.contains(&object);
            }
            ("additionalProperties", value) => {
                (*value == Ordered::Scalar(false.into())).then_some(())?;
            }
            ("patternProperties" | "propertyNames" | "prefixItems" | "not" | "if", _) => {
                return None;
            }
            _ => {}
        }
    }
    if is_object && !entries.iter().any(|(key, _)| key == "additionalProperties") {
        entries.push(("additionalProperties".into(), Ordered::Scalar(false.into())));
    }
    Some(())
}
