//! Requests that the client makes for itself: a title for the session, a summary in a given shape.

use serde_json::{Map, Value};

use super::conversation::Conversation;
use crate::json;
use crate::messages::MessagesRequest;

/// Levels of a schema that are filled in; what is deeper stays null.
const DEEPEST: usize = 8;

/// JSON that fits the schema that the request asks for, `None` where it asks for none.
pub fn json_answer(request: &MessagesRequest) -> Option<String> {
    let format = request.output_config.as_ref()?.format.as_ref()?;
    if format.kind != "json_schema" || !request.tools.is_empty() {
        return None;
    }
    let schema: Value = json::read(format.schema?.get()).ok()?;
    let prompt = Conversation::read(request).prompt;
    Some(fitting(&schema, &title(&prompt), DEEPEST).to_string())
}

/// The first words of what the person said, as a title.
fn title(prompt: &str) -> String {
    let words: Vec<&str> = prompt
        .split_whitespace()
        .filter(|word| !word.starts_with('<'))
        .take(6)
        .collect();
    let title: String = words.join(" ").chars().take(50).collect();
    if title.is_empty() {
        "Demo session".into()
    } else {
        title
    }
}

fn fitting(schema: &Value, text: &str, deeper: usize) -> Value {
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    let Some(deeper) = deeper.checked_sub(1) else {
        return Value::Null;
    };
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => text.into(),
        Some("boolean") => false.into(),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(0.into()),
        Some("array") => Value::Array(Vec::new()),
        Some("object") | None => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let filled: Map<String, Value> = properties
                .into_iter()
                .flatten()
                .map(|(name, property)| (name.clone(), fitting(property, text, deeper)))
                .collect();
            Value::Object(filled)
        }
        Some(_) => Value::Null,
    }
}
