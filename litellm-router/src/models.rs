//! `GET /v1/models`: what can be called, and whether it can be called now.
//!
//! One answer fits the clients of both APIs: Anthropic's shape
//! (<https://docs.anthropic.com/en/api/models-list>) and OpenAI's
//! (<https://platform.openai.com/docs/api-reference/models/list>) have the list and the ids in the
//! same fields, and neither client minds the other's.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::config::ModelEntry;
use crate::error::Refusal;
use crate::route::Routes;

/// The most models of one page, as at Anthropic.
const LONGEST_PAGE: usize = 1_000;
/// Anthropic's documentation: a model whose release date is not known may have the epoch.
const UNKNOWN_DATE: &str = "1970-01-01T00:00:00Z";

/// One page of the list of `names`. `available` tells of an entry whether this router has what it needs.
pub fn list(
    routes: &Routes,
    entries: &[ModelEntry],
    names: &[&str],
    query: &str,
    available: &dyn Fn(&str) -> bool,
) -> Answer {
    let limit = parameter(query, "limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(LONGEST_PAGE)
        .clamp(1, LONGEST_PAGE);
    let place = |id: &str| names.iter().position(|name| *name == id);
    let (start, end) = if let Some(at) = parameter(query, "after_id").and_then(|id| place(&id)) {
        (at + 1, names.len())
    } else if let Some(at) = parameter(query, "before_id").and_then(|id| place(&id)) {
        (at.saturating_sub(limit), at)
    } else {
        (0, names.len())
    };
    let page: Vec<Value> = names
        .iter()
        .take(end)
        .skip(start)
        .take(limit)
        .map(|name| describe(routes, entries, name, available(name)))
        .collect();
    let id = |model: Option<&Value>| model.and_then(|model| model.get("id")).cloned();
    Answer::json(
        200,
        &json!({
            "object": "list",
            "first_id": id(page.first()),
            "last_id": id(page.last()),
            "has_more": start + page.len() < end,
            "data": page,
        }),
    )
}

/// One model by its name, which a pattern may stand for.
pub fn one(
    routes: &Routes,
    entries: &[ModelEntry],
    name: &str,
    available: &dyn Fn(&str) -> bool,
) -> Result<Answer, Refusal> {
    match routes.find(name) {
        Some(_) => Ok(Answer::json(
            200,
            &describe(routes, entries, name, available(name)),
        )),
        None => Err(unknown(routes, name)),
    }
}

/// 404 for a model that no entry matches, with the names that come nearest.
pub fn unknown(routes: &Routes, name: &str) -> Refusal {
    let shown: String = name.chars().take(200).collect();
    let mut message = format!("model: {shown} is not in this router's configuration");
    let nearest = routes.nearest(name);
    if !nearest.is_empty() {
        message.push_str(&format!("; the nearest names are {}", nearest.join(", ")));
    }
    let patterns: Vec<&str> = routes.patterns().collect();
    if !patterns.is_empty() {
        message.push_str(&format!("; also {}", patterns.join(", ")));
    }
    Refusal::new(404, message)
}

fn describe(routes: &Routes, entries: &[ModelEntry], name: &str, available: bool) -> Value {
    let infos = || {
        let entries = entries.iter().filter(|entry| entry.model_name == name);
        entries.map(|entry| &entry.model_info)
    };
    let shown = infos()
        .find_map(|info| info.display_name.as_deref())
        .unwrap_or(name);
    // Any of a group may answer: what the smallest takes, all take.
    let max_input_tokens = infos().filter_map(|info| info.max_input_tokens).min();
    let provider = routes
        .find(name)
        .and_then(|group| Some(group.targets.first()?.provider.name));
    json!({
        "type": "model",
        "object": "model",
        "id": name,
        "display_name": shown,
        "created_at": UNKNOWN_DATE,
        "created": 0,
        "owned_by": provider.unwrap_or("litellm-router"),
        "available": available,
        "max_input_tokens": max_input_tokens,
    })
}

/// The value of a parameter in a query string, its percent signs decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| percent_decoded(value))
    })
}

/// Decodes `%2F` and the like; what is not such an escape stays as it is.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let escaped = (byte == b'%')
            .then(|| {
                let digits = [ahead.next()?, ahead.next()?];
                let digits = std::str::from_utf8(&digits).ok()?.to_owned();
                u8::from_str_radix(&digits, 16).ok()
            })
            .flatten();
        match escaped {
            Some(decoded) => {
                bytes.push(decoded);
                rest = ahead;
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn listed(query: &str) -> Value {
        let config = Config::parse(
            "model_list:\n\
             - {model_name: 'groq/*', litellm_params: {model: 'groq/*'}}\n\
             - {model_name: a/b, litellm_params: {model: groq/b}, model_info: {display_name: Bee, max_input_tokens: 9}}\n\
             - {model_name: a/b, litellm_params: {model: groq/b}, model_info: {max_input_tokens: 8}}\n\
             - {model_name: c, litellm_params: {model: groq/c}}\n\
             - {model_name: d, litellm_params: {model: groq/d}}\n",
        )
        .unwrap();
        let routes = Routes::new(&config, &|_| None);
        let names: Vec<&str> = routes.names().iter().map(String::as_str).collect();
        let answer = list(&routes, &config.models, &names, query, &|name| name != "c");
        serde_json::from_slice(answer.whole().unwrap()).unwrap()
    }

    #[test]
    fn c02_names_are_listed_in_both_shapes() {
        let page = listed("");
        let models = page["data"].as_array().unwrap();
        let ids: Vec<_> = models
            .iter()
            .filter_map(|model| model["id"].as_str())
            .collect();
        assert_eq!(ids, ["a/b", "c", "d", "groq/b", "groq/c", "groq/d"]);
        assert_eq!(
            page["data"][0],
            json!({"type": "model", "object": "model", "id": "a/b", "display_name": "Bee",
                "created_at": UNKNOWN_DATE, "created": 0, "owned_by": "groq", "available": true,
                "max_input_tokens": 8})
        );
        assert_eq!(page["object"], "list");
        assert_eq!(page["data"][1]["available"], false);
        assert_eq!(page["data"][1]["max_input_tokens"], Value::Null);
        assert_eq!(
            (&page["first_id"], &page["last_id"]),
            (&json!("a/b"), &json!("groq/d"))
        );
        assert_eq!(page["has_more"], false);
    }

    #[test]
    fn c02_pages_follow_each_other() {
        let page = listed("limit=1");
        assert_eq!(
            (&page["last_id"], &page["has_more"]),
            (&json!("a/b"), &json!(true))
        );
        let page = listed("limit=1&after_id=a%2Fb");
        assert_eq!(
            (&page["last_id"], &page["has_more"]),
            (&json!("c"), &json!(true))
        );
        let page = listed("before_id=d&limit=5");
        assert_eq!(page["data"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn percent_signs_are_decoded() {
        assert_eq!(percent_decoded("a%2fb%zz%4"), "a/b%zz%4");
    }
}
