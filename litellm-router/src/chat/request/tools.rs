//! Tools on offer and what the model must do about them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::wire::{ChatRequest, Function, text};
use crate::error::Refusal;
use crate::json;
use crate::translate::schema::Ordered;

/// A tool, in Anthropic's words. `strict` and whatever else a function may have is left out.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Tool<'a> {
    Function {
        name: Cow<'a, str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        description: Cow<'a, str>,
        input_schema: Ordered,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    /// A tool that the client describes in Anthropic's words already.
    Own(&'a RawValue),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Choice {
    Auto {
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    Any {
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    Tool {
        name: String,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    None,
}

impl Choice {
    /// Whether the model must call a tool, with which thinking does not go together.
    pub fn forces(&self) -> bool {
        matches!(self, Self::Any { .. } | Self::Tool { .. })
    }
}

/// The tools of a request, and the choice among them where one is said.
///
/// `called` names the tools of past calls: a conversation with calls needs tools, so where none are
/// on offer any more those are described again, and may not be called.
///
/// # Errors
/// 400 for a tool or a choice that Anthropic has nothing for.
pub fn tools<'a>(
    request: &'a ChatRequest<'a>,
    called: &[&'a str],
) -> Result<(Vec<Tool<'a>>, Option<Choice>), Refusal> {
    let mut tools = Vec::with_capacity(request.tools.len() + request.functions.len());
    for (at, raw) in request.tools.iter().enumerate() {
        let tool =
            tool(raw).map_err(|reason| Refusal::new(400, format!("tools[{at}]: {reason}")))?;
        tools.push(tool);
    }
    for (at, described) in request.functions.iter().enumerate() {
        if described.name.is_empty() {
            return Err(Refusal::new(
                400,
                format!("functions[{at}]: it has no name"),
            ));
        }
        tools.push(function(
            described.name.clone(),
            described.description.clone(),
            described.parameters,
            described.cache_control,
        ));
    }
    if tools.is_empty() {
        let known = |name: &&'a str| function(Cow::Borrowed(*name), Cow::Borrowed(""), None, None);
        let tools: Vec<Tool> = called.iter().map(known).collect();
        let choice = (!tools.is_empty()).then_some(Choice::None);
        return Ok((tools, choice));
    }
    let parallel = request.parallel_tool_calls != Some(false);
    let choice = match (request.tool_choice, request.function_call) {
        (Some(raw), _) | (None, Some(raw)) => {
            let value: Value = json::read(raw.get()).unwrap_or_default();
            choice(&value, !parallel, &mut tools)?
        }
        (None, None) => None,
    };
    let single = (!parallel).then_some(Choice::Auto {
        disable_parallel_tool_use: true,
    });
    Ok((tools, choice.or(single)))
}

fn tool<'a>(raw: &'a RawValue) -> Result<Tool<'a>, String> {
    #[derive(Deserialize)]
    struct Described<'a> {
        #[serde(borrow, default, rename = "type", deserialize_with = "text")]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        function: Option<Function<'a>>,
        #[serde(borrow)]
        cache_control: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "text")]
        name: Cow<'a, str>,
    }
    let described: Described = json::read(raw.get()).map_err(|error| error.to_string())?;
    match described.function {
        Some(found) if !found.name.is_empty() => Ok(function(
            found.name,
            found.description,
            found.parameters,
            described.cache_control.or(found.cache_control),
        )),
        Some(_) => Err("its function has no name".into()),
        None if !described.name.is_empty() && described.kind != "function" => Ok(Tool::Own(raw)),
        None => Err("only tools of type function can be offered to this model".into()),
    }
}

fn function<'a>(
    name: Cow<'a, str>,
    description: Cow<'a, str>,
    parameters: Option<&'a RawValue>,
    cache_control: Option<&'a RawValue>,
) -> Tool<'a> {
    Tool::Function {
        name,
        description,
        input_schema: input_schema(parameters),
        cache_control,
    }
}

/// A schema as it is, but that it says to be one of an object, as Anthropic demands.
fn input_schema(parameters: Option<&RawValue>) -> Ordered {
    let schema = parameters.and_then(|raw| json::read(raw.get()).ok());
    let mut entries = match schema {
        Some(Ordered::Object(entries)) => entries,
        _ => Vec::new(),
    };
    if !entries.iter().any(|(key, _)| key == "type") {
        entries.insert(0, ("type".into(), Ordered::Scalar("object".into())));
    }
    if !entries.iter().any(|(key, _)| key == "properties") {
        entries.push(("properties".into(), Ordered::Object(Vec::new())));
    }
    Ordered::Object(entries)
}

fn choice(
    value: &Value,
    disable_parallel_tool_use: bool,
    tools: &mut Vec<Tool>,
) -> Result<Option<Choice>, Refusal> {
    let wrong = || Refusal::new(400, "tool_choice: there is no such choice for this model");
    let mode = |mode: &str| match mode {
        "auto" => Ok(Some(Choice::Auto {
            disable_parallel_tool_use,
        })),
        "required" | "any" => Ok(Some(Choice::Any {
            disable_parallel_tool_use,
        })),
        "none" => Ok(Some(Choice::None)),
        _ => Err(wrong()),
    };
    let kind = match value {
        Value::Null => return Ok(None),
        Value::String(name) => return mode(name),
        value => value.get("type").and_then(Value::as_str),
    };
    match kind {
        Some("allowed_tools") => {
            let allowed = value.get("allowed_tools").unwrap_or(value);
            let names: Vec<&str> = allowed
                .get("tools")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(name_in)
                .collect();
            tools.retain(|tool| match tool {
                Tool::Function { name, .. } => names.contains(&&**name),
                Tool::Own(_) => true,
            });
            if tools.is_empty() {
                return Err(wrong());
            }
            mode(
                allowed
                    .get("mode")
                    .and_then(Value::as_str)
                    .unwrap_or("auto"),
            )
        }
        // Also Anthropic's own `tool`, and the object of the old `function_call`, which has no type.
        Some("function" | "tool") | None => {
            let name = name_in(value).ok_or_else(wrong)?.to_owned();
            Ok(Some(Choice::Tool {
                name,
                disable_parallel_tool_use,
            }))
        }
        Some(kind) => mode(kind),
    }
}

fn name_in(value: &Value) -> Option<&str> {
    let name = value
        .pointer("/function/name")
        .or_else(|| value.get("name"))?;
    name.as_str().filter(|name| !name.is_empty())
}
