use serde_json::{Value, json};

use super::*;

#[test]
fn tools_keep_their_schema_and_lose_what_anthropic_refuses() {
    let parameters = json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {}}, "required": ["z"]});
    let own = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 3});
    let body = with(json!({"tools": [
        {"type": "function", "function": {"name": "f", "description": "d", "strict": true, "parameters": parameters}},
        {"type": "function", "function": {"name": "g", "parameters": null}}, own]}));
    assert_eq!(
        body["tools"],
        json!([{"name": "f", "description": "d", "input_schema": parameters},
            {"name": "g", "input_schema": {"type": "object", "properties": {}}}, own])
    );
    assert!(body["tool_choice"].is_null());
    let custom = json!([{"type": "custom", "custom": {"name": "c"}}]);
    insta::assert_snapshot!(refused(json!({"tools": custom})), @r"tools[0]: only tools of type function can be offered to this model");
    insta::assert_snapshot!(refused(json!({"tools": [{"type": "function", "function": {}}]})), @r"tools[0]: its function has no name");
}

#[test]
fn every_tool_choice_has_its_counterpart() {
    let choice = |choice: Value| {
        with(json!({"tools": [tool("f"), tool("g")], "tool_choice": choice}))["tool_choice"].clone()
    };
    assert_eq!(choice(json!("auto")), json!({"type": "auto"}));
    assert_eq!(choice(json!("required")), json!({"type": "any"}));
    assert_eq!(choice(json!("none")), json!({"type": "none"}));
    assert_eq!(choice(json!(null)), json!(null));
    assert_eq!(choice(tool("g")), json!({"type": "tool", "name": "g"}));
    let single = |choice: Value| {
        let body = with(
            json!({"tools": [tool("f")], "tool_choice": choice, "parallel_tool_calls": false}),
        );
        body["tool_choice"].clone()
    };
    let disabled = |kind: &str| json!({"type": kind, "disable_parallel_tool_use": true});
    assert_eq!(single(json!(null)), disabled("auto"));
    assert_eq!(single(json!("required")), disabled("any"));
    assert_eq!(single(json!("none")), json!({"type": "none"}));
    let body = with(
        json!({"tools": [tool("f"), tool("g")], "tool_choice": {"type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [tool("g")]}}}),
    );
    assert_eq!(body["tool_choice"], json!({"type": "any"}));
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert_eq!(body["tools"][0]["name"], "g");
    // Without tools there is nothing to choose from.
    assert!(with(json!({"tool_choice": "required", "tools": []}))["tool_choice"].is_null());
    insta::assert_snapshot!(refused(json!({"tools": [tool("f")], "tool_choice": "sometimes"})), @r"tool_choice: there is no such choice for this model");
}

#[test]
fn a_conversation_with_calls_has_tools_even_if_none_are_on_offer() {
    let body = messages(json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call("a", "f", "{}"), call("b", "f", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": "r"}]));
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert_eq!(body["tool_choice"], json!({"type": "none"}));
}
