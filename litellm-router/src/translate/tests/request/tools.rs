use serde_json::{Value, json};

use super::{bytes_to, chat, to, upstream};
use crate::messages::MessagesRequest;
use crate::translate::names;
use crate::translate::request::{Upstream, translate};

#[test]
fn r13_long_tool_names_are_shortened_everywhere_alike() {
    let long = format!("mcp__{}__search", "server".repeat(12));
    let body = json!({
        "model": "m",
        "tools": [{"name": long, "input_schema": {}}],
        "tool_choice": {"type": "tool", "name": long},
        "messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": long, "input": {}}]}],
    });
    let body_text = body.to_string();
    let (sent, back) = bytes_to("groq/x", body_text.as_bytes()).unwrap();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let short = sent["tools"][0]["function"]["name"].as_str().unwrap();
    assert_eq!(short.len(), 64);
    assert_eq!(sent["tool_choice"]["function"]["name"], short);
    assert_eq!(
        sent["messages"][0]["tool_calls"][0]["function"]["name"],
        short
    );
    assert_eq!(back.tools.for_client(short), long);
    assert_eq!(names::upstream("short"), "short");
    assert!(names::upstream(&"ä".repeat(40)).len() <= 64);
}

#[test]
fn r15_tool_choice_is_said_in_the_other_words() {
    let choice = |choice: Value| {
        chat(
            json!({"model": "m", "messages": [], "tools": [{"name": "T", "input_schema": {}}], "tool_choice": choice}),
        )
    };
    assert_eq!(choice(json!({"type": "auto"}))["tool_choice"], "auto");
    assert_eq!(choice(json!({"type": "any"}))["tool_choice"], "required");
    assert_eq!(choice(json!({"type": "none"}))["tool_choice"], "none");
    assert_eq!(
        choice(json!({"type": "tool", "name": "T"}))["tool_choice"],
        json!({"type": "function", "function": {"name": "T"}})
    );
    let serial = choice(json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(serial["parallel_tool_calls"], false);
    let without = chat(
        json!({"model": "m", "messages": [], "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
    );
    assert!(without.get("tool_choice").is_none() && without.get("parallel_tool_calls").is_none());
}

#[test]
fn r16_tools_that_run_at_anthropic_are_dropped_or_refused() {
    let search = json!({"type": "web_search_20250305", "name": "web_search"});
    let own = json!({"name": "T", "input_schema": {}});
    let body = chat(json!({"model": "m", "messages": [], "tools": [search, own]}));
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    let refused = to(
        "groq/x",
        &json!({"model": "m", "messages": [], "tools": [search]}),
    )
    .unwrap_err();
    assert_eq!(refused.status, 400);
    assert!(refused.message.contains("web_search"));
    let forced = json!({"model": "m", "messages": [], "tools": [search, own], "tool_choice": {"type": "tool", "name": "web_search"}});
    assert_eq!(to("groq/x", &forced).unwrap_err().status, 400);
}

#[test]
fn r16_deferred_tools_come_when_they_have_been_found() {
    let deferred = json!({"name": "Later", "input_schema": {}, "defer_loading": true});
    let now = json!({"name": "Now", "input_schema": {}});
    let body = chat(json!({"model": "m", "messages": [], "tools": [deferred, now]}));
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    let found = json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "s", "content": [
        {"type": "tool_reference", "tool_name": "Later"}]}]}]);
    let body = chat(json!({"model": "m", "messages": found, "tools": [deferred, now]}));
    assert_eq!(body["tools"].as_array().unwrap().len(), 2);
}

#[test]
fn r13_names_with_odd_characters_lose_them() {
    let odd = "mcp.server/search";
    let body = json!({"model": "m", "messages": [], "tools": [{"name": odd, "input_schema": {}}]});
    let (sent, back) = bytes_to("groq/x", body.to_string().as_bytes()).unwrap();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let name = sent["tools"][0]["function"]["name"].as_str().unwrap();
    assert!(
        name.starts_with("mcp_server_search_") && name.len() == 26,
        "{name}"
    );
    assert_eq!(back.tools.for_client(name), odd);
    assert!(back.tools.offers(name) && !back.tools.offers(odd));
}

#[test]
fn r14_what_only_anthropic_knows_of_a_tool_is_left_out() {
    let tool = json!({"name": "T", "description": "d", "strict": true, "input_examples": [{}],
        "eager_input_streaming": true, "cache_control": {"type": "ephemeral"}, "type": "custom",
        "defer_loading": false, "input_schema": {"$schema": "s", "type": "object"}});
    let body = chat(json!({"model": "m", "messages": [], "tools": [tool]}));
    assert_eq!(
        body["tools"],
        json!([{"type": "function", "function": {"name": "T", "description": "d",
            "parameters": {"type": "object", "properties": {}}}}])
    );
}

#[test]
fn r16_anthropics_tools_are_dropped_even_alone_where_the_configuration_says_so() {
    let search = json!({"type": "web_search_20250305", "name": "web_search"});
    let own = json!({"name": "T", "input_schema": {}});
    let dropped = |tools: Value| {
        let body = json!({"model": "m", "messages": [], "tools": tools,
            "tool_choice": {"type": "tool", "name": "web_search"}});
        let body = body.to_string();
        let upstream = Upstream {
            drop_server_tools: true,
            ..upstream("groq/x")
        };
        let request = MessagesRequest::parse(body.as_bytes()).unwrap();
        let (sent, _) = translate(&request, upstream).unwrap();
        serde_json::from_slice::<Value>(&sent).unwrap()
    };
    let alone = dropped(json!([search]));
    assert!(alone.get("tools").is_none() && alone.get("tool_choice").is_none());
    let forced = dropped(json!([search, own]));
    assert_eq!(forced["tools"].as_array().unwrap().len(), 1);
    assert!(forced.get("tool_choice").is_none());
}
