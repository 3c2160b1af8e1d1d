use serde_json::{Value, json};

use crate::error::Refusal;
use crate::messages::MessagesRequest;
use crate::providers;
use crate::translate::names;
use crate::translate::request::{Upstream, translate};

fn to(model: &str, request: &Value) -> Result<Value, Refusal> {
    let (provider, model) = providers::split(model);
    let upstream = Upstream {
        provider,
        model,
        max_output_tokens: Some(8_000),
        vision: !model.contains("blind"),
        drop_server_tools: false,
    };
    let body = request.to_string();
    let (body, _) = translate(&MessagesRequest::parse(body.as_bytes())?, upstream)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn chat(request: Value) -> Value {
    to("openrouter/x", &request).unwrap()
}

fn messages(turns: Value) -> Value {
    chat(json!({"model": "m", "messages": turns}))["messages"].clone()
}

/// An answered call `a`, for histories.
fn called(then: Value) -> Value {
    messages(json!([
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {"b": 1, "a": 2}}]},
        {"role": "user", "content": then},
    ]))
}

#[test]
fn r01_system_blocks_become_one_leading_message() {
    let request = |system: Value| {
        chat(
            json!({"model": "m", "system": system, "messages": [{"role": "user", "content": "hi"}]}),
        )
    };
    let expected =
        json!([{"role": "system", "content": "one\n\ntwo"}, {"role": "user", "content": "hi"}]);
    let blocks = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
    assert_eq!(request(blocks)["messages"], expected);
    assert_eq!(request(json!("one\n\ntwo"))["messages"], expected);
    assert_eq!(request(json!(""))["messages"][0]["role"], "user");
}

#[test]
fn r02_the_billing_header_stays_here() {
    let system = json!([{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1"},
        {"type": "text", "text": "You are"}]);
    let body = chat(json!({"model": "m", "system": system, "messages": []}));
    assert_eq!(
        body["messages"],
        json!([{"role": "system", "content": "You are"}])
    );
}

#[test]
fn r03_a_system_turn_within_the_conversation_comes_after_the_results() {
    let turns = messages(json!([
        {"role": "user", "content": "go"},
        {"role": "system", "content": "env"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {}}]},
        {"role": "system", "content": [{"type": "text", "text": "news"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "out"}]},
    ]));
    assert_eq!(
        turns,
        json!([
            {"role": "user", "content": "go\n\n<system-reminder>\nenv\n</system-reminder>"},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function",
                "function": {"name": "Bash", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "out"},
            {"role": "user", "content": "<system-reminder>\nnews\n</system-reminder>"},
        ])
    );
}

#[test]
fn r04_cache_marks_go_but_not_inside_inputs_and_schemas() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let schema = json!({"type": "object", "properties": {"cache_control": {"type": "string"}}});
    let body = chat(json!({
        "model": "m",
        "system": [{"type": "text", "text": "s", "cache_control": mark}],
        "tools": [{"name": "T", "input_schema": schema, "cache_control": mark}],
        "messages": [{"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "T", "input": {"cache_control": 1}, "cache_control": mark}]}],
    }));
    let text = body.to_string();
    assert!(!text.contains("ephemeral"), "{text}");
    assert_eq!(body["tools"][0]["function"]["parameters"], schema);
    assert_eq!(
        body["messages"][1]["tool_calls"][0]["function"]["arguments"],
        "{\"cache_control\":1}"
    );
}

#[test]
fn r05_tool_results_come_first() {
    let turns = messages(json!([
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "T", "input": {}},
            {"type": "tool_use", "id": "b", "name": "T", "input": {}}]},
        {"role": "user", "content": [
            {"type": "text", "text": "and"},
            {"type": "tool_result", "tool_use_id": "b", "content": "2"},
            {"type": "text", "text": "then"},
            {"type": "tool_result", "tool_use_id": "a", "content": "1"}]},
    ]));
    let order: Vec<&str> = turns
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["content"].as_str().unwrap_or("call"))
        .collect();
    assert_eq!(order, ["call", "1", "2", "and\n\nthen"]);
}

#[test]
fn r06_results_of_every_kind_become_text() {
    let result = |content: Value, is_error: bool| {
        called(json!([{"type": "tool_result", "tool_use_id": "a", "content": content, "is_error": is_error}]))[1]["content"]
            .clone()
    };
    assert_eq!(result(json!("out"), false), "out");
    assert_eq!(
        result(
            json!([{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]),
            false
        ),
        "x\n\ny"
    );
    assert_eq!(result(json!(null), false), "(no output)");
    assert_eq!(result(json!([]), false), "(no output)");
    assert_eq!(result(json!("bad"), true), "Error: bad");
    assert_eq!(
        result(
            json!([{"type": "tool_reference", "tool_name": "TodoWrite"}]),
            false
        ),
        "The tool TodoWrite is ready."
    );
}

#[test]
fn r07_images_of_results_follow_in_the_user_message() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}});
    let turns = called(json!([
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "shot"}, image]},
        {"type": "text", "text": "see?"}]));
    assert_eq!(
        turns[1]["content"],
        "shot\n\n(an image, shown in the next message)"
    );
    assert_eq!(
        turns[2]["content"],
        json!([
            {"type": "text", "text": "Image from the result of tool call a:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "text", "text": "see?"}])
    );
}

#[test]
fn r08_images_are_sent_or_named() {
    let request = json!({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]}]});
    assert_eq!(
        chat(request.clone())["messages"][0]["content"][0]["image_url"]["url"],
        "https://x/y.png"
    );
    let blind = to("groq/blind", &request).unwrap();
    assert_eq!(
        blind["messages"][0]["content"],
        "(an image, which this model cannot see)"
    );
}

#[test]
fn r09_documents_with_text_are_text_and_others_are_refused() {
    let request = |source: Value| json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "document", "source": source}]}]});
    let text = chat(request(
        json!({"type": "text", "media_type": "text/plain", "data": "words"}),
    ));
    assert_eq!(text["messages"][0]["content"], "words");
    let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": "AA=="});
    let refused = to("groq/x", &request(pdf)).unwrap_err();
    assert_eq!(refused.status, 400);
    assert!(refused.message.contains("application/pdf"));
}

#[test]
fn r10_calls_keep_their_input_as_text_and_no_content_is_no_key() {
    let call = &called(json!("x"))[0];
    assert_eq!(
        call,
        &json!({"role": "assistant", "tool_calls": [{"id": "a", "type": "function",
            "function": {"name": "Bash", "arguments": "{\"a\":2,\"b\":1}"}}]})
    );
    // The order of keys is the caller's, to the byte.
    let body = br#"{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"T","input":{"z":1, "a":[]}}]}]}"#;
    let (provider, model) = providers::split("groq/x");
    let upstream = Upstream {
        provider,
        model,
        max_output_tokens: None,
        vision: true,
        drop_server_tools: false,
    };
    let (sent, _) = translate(&MessagesRequest::parse(body).unwrap(), upstream).unwrap();
    assert!(
        String::from_utf8(sent)
            .unwrap()
            .contains(r#""arguments":"{\"z\":1, \"a\":[]}""#)
    );
}

#[test]
fn r11_calls_without_result_get_one_and_results_without_call_go() {
    let turns = called(json!([
        {"type": "tool_result", "tool_use_id": "ghost", "content": "boo"},
        {"type": "text", "text": "stop"}]));
    assert_eq!(turns[1]["content"], "(no result: the call was interrupted)");
    assert_eq!(turns[2]["content"], "stop");
    assert_eq!(turns.as_array().unwrap().len(), 3);
    let unanswered = messages(json!([
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "T", "input": {}}]}]));
    assert_eq!(unanswered[1]["tool_call_id"], "a");
}

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
    let request = MessagesRequest::parse(body_text.as_bytes()).unwrap();
    let (provider, model) = providers::split("groq/x");
    let upstream = Upstream {
        provider,
        model,
        max_output_tokens: None,
        vision: true,
        drop_server_tools: false,
    };
    let (sent, back) = translate(&request, upstream).unwrap();
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
fn r17_the_limit_is_cut_and_named_as_the_provider_wants() {
    let request = json!({"model": "m", "max_tokens": 64000, "messages": []});
    assert_eq!(to("openrouter/x", &request).unwrap()["max_tokens"], 8000);
    for model in ["groq/x", "openai/o3", "openai/gpt-5-mini"] {
        let body = to(model, &request).unwrap();
        assert_eq!(body["max_completion_tokens"], 8000, "{model}");
        assert!(body.get("max_tokens").is_none(), "{model}");
    }
}

#[test]
fn r19_stop_sequences_are_at_most_four_and_not_empty() {
    let stops = json!(["a", "", " \n", "b", "c", "d", "e"]);
    let body = chat(json!({"model": "m", "messages": [], "stop_sequences": stops}));
    assert_eq!(body["stop"], json!(["a", "b", "c", "d"]));
    assert!(
        chat(json!({"model": "m", "messages": []}))
            .get("stop")
            .is_none()
    );
}

#[test]
fn r20_sampling_is_said_where_it_is_understood() {
    let request =
        json!({"model": "m", "messages": [], "temperature": 0.0, "top_p": 0.5, "top_k": 40});
    let groq = to("groq/x", &request).unwrap();
    assert_eq!(
        (&groq["temperature"], &groq["top_p"]),
        (&json!(1e-8), &json!(0.5))
    );
    assert!(groq.get("top_k").is_none());
    assert_eq!(to("openrouter/x", &request).unwrap()["temperature"], 0.0);
    assert!(
        to("openai/o3", &request)
            .unwrap()
            .get("temperature")
            .is_none()
    );
}

#[test]
fn r25_what_is_anthropics_own_is_not_forwarded() {
    let request = json!({
        "model": "m", "messages": [], "metadata": {"user_id": "u".repeat(150)},
        "thinking": {"type": "adaptive", "display": "updates"}, "output_config": {"effort": "high"},
        "context_management": {"edits": []}, "mcp_servers": [], "container": "c",
        "service_tier": "auto", "speed": "fast", "new_key": 1});
    let body = to("groq/x", &request).unwrap();
    let mut keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["messages", "model", "stream"]);
}

#[test]
fn r23_thinking_of_the_past_is_left_out() {
    let turns = messages(json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "secret", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "more", "signature": "s"}]},
    ]));
    assert_eq!(
        turns,
        json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])
    );
}

#[test]
fn r26_empty_texts_are_left_out() {
    let turns = messages(json!([
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "q"}]},
        {"role": "assistant", "content": [{"type": "text", "text": ""}]},
    ]));
    assert_eq!(turns, json!([{"role": "user", "content": "q"}]));
}

#[test]
fn r27_turns_of_one_side_become_one() {
    let turns = messages(json!([
        {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"}, {"role": "assistant", "content": "d"},
    ]));
    assert_eq!(
        turns,
        json!([{"role": "user", "content": "a\n\nb"}, {"role": "assistant", "content": "c\n\nd"}])
    );
}

#[test]
fn a_stream_asks_for_its_usage() {
    let body = chat(json!({"model": "m", "messages": [], "stream": true}));
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    assert_eq!(body["model"], "x");
}
