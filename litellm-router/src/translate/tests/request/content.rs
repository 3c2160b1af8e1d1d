use serde_json::{Value, json};

use super::{called, chat, to};

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
fn r04_cache_marks_stay_for_claude_behind_openrouter() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let request = json!({
        "model": "m",
        "system": [{"type": "text", "text": "s"}, {"type": "text", "text": "t", "cache_control": mark}],
        "messages": [
            {"role": "user", "content": "plain"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "T", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "out", "cache_control": mark},
                {"type": "text", "text": "go", "cache_control": mark}]}],
    });
    let sent = &to("openrouter/anthropic/claude-sonnet-4.5", &request).unwrap()["messages"];
    assert_eq!(
        *sent,
        json!([
            {"role": "system", "content": [{"type": "text", "text": "s"},
                {"type": "text", "text": "t", "cache_control": mark}]},
            {"role": "user", "content": "plain"},
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "function",
                "function": {"name": "T", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a",
                "content": [{"type": "text", "text": "out", "cache_control": mark}]},
            {"role": "user", "content": [{"type": "text", "text": "go", "cache_control": mark}]},
        ])
    );
    for model in ["openrouter/z-ai/glm-4.5", "groq/x"] {
        let text = to(model, &request).unwrap().to_string();
        assert!(!text.contains("ephemeral"), "{model}: {text}");
    }
}

#[test]
fn r08_images_in_base64_are_data_addresses() {
    let source = |source: Value| json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]});
    let png = source(json!({"type": "base64", "media_type": "image/png", "data": "AA=="}));
    let url = &chat(png)["messages"][0]["content"][0]["image_url"]["url"];
    assert_eq!(url, "data:image/png;base64,AA==");
    let file = source(json!({"type": "file", "file_id": "f"}));
    assert_eq!(
        chat(file)["messages"][0]["content"],
        "(an image that only Anthropic has)"
    );
}

#[test]
fn r09_a_pdf_is_a_file_where_the_provider_takes_it() {
    let document = |source: Value| {
        json!({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "document", "title": "Report.pdf", "source": source},
        {"type": "text", "text": "Sum it up"}]}]})
    };
    let pdf = document(json!({"type": "base64", "media_type": "application/pdf", "data": "AA=="}));
    for model in ["openrouter/x", "openai/gpt-4.1"] {
        assert_eq!(
            to(model, &pdf).unwrap()["messages"][0]["content"],
            json!([
                {"type": "file", "file": {"filename": "Report.pdf",
                    "file_data": "data:application/pdf;base64,AA=="}},
                {"type": "text", "text": "Sum it up"}])
        );
    }
    let linked = document(json!({"type": "url", "url": "https://x/y.pdf"}));
    let sent = to("openrouter/x", &linked).unwrap();
    let file = &sent["messages"][0]["content"][0]["file"];
    assert_eq!(file["file_data"], "https://x/y.pdf");
    for (model, request) in [
        ("openai/gpt-4.1", &linked),
        ("groq/x", &pdf),
        ("ollama/x", &pdf),
    ] {
        let refused = to(model, request).unwrap_err();
        assert_eq!(refused.status, 400);
        assert!(
            refused.message.ends_with("send its text"),
            "{}",
            refused.message
        );
    }
}

#[test]
fn r09_a_pdf_within_a_result_follows_in_the_user_message() {
    let pdf = json!({"type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}});
    let turns = called(json!([{"type": "tool_result", "tool_use_id": "a", "content": [pdf]}]));
    assert_eq!(turns[1]["content"], "(a file, shown in the next message)");
    assert_eq!(turns[2]["content"][1]["file"]["filename"], "document.pdf");
}

#[test]
fn r09_documents_of_blocks_and_search_results_are_text() {
    let sent = chat(
        json!({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "content", "content": [
            {"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}},
        {"type": "search_result", "title": "T", "source": "https://x",
            "content": [{"type": "text", "text": "found"}]}]}]}),
    );
    assert_eq!(
        sent["messages"][0]["content"],
        "one\n\ntwo\n\nT\n\nhttps://x\n\nfound"
    );
}
