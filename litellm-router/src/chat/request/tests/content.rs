use serde_json::{Value, json};

use super::*;

#[test]
fn images_come_as_data_or_by_their_url() {
    let image = |url: &str| {
        let part = json!({"type": "image_url", "image_url": {"url": url, "detail": "high"}});
        messages(json!([{"role": "user", "content": [part]}]))["messages"][0]["content"][0]["source"].clone()
    };
    assert_eq!(
        image("data:image/png;base64,iVBOR"),
        json!({"type": "base64", "media_type": "image/png", "data": "iVBOR"})
    );
    assert_eq!(
        image("data:image/JPG;charset=x;base64,/9j/")["media_type"],
        "image/jpeg"
    );
    assert_eq!(
        image("https://a.example/b.png"),
        json!({"type": "url", "url": "https://a.example/b.png"})
    );
    // Some clients write the URL without an object around it.
    let bare =
        json!([{"role": "user", "content": [{"type": "image_url", "image_url": "http://a/b"}]}]);
    assert_eq!(
        messages(bare)["messages"][0]["content"][0]["source"]["url"],
        "http://a/b"
    );
}

#[test]
fn files_become_documents() {
    let file = |file: Value| {
        let part = json!({"type": "file", "file": file});
        messages(json!([{"role": "user", "content": [part]}]))["messages"][0]["content"][0].clone()
    };
    let pdf = json!({"type": "document", "title": "a.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"}});
    let url = json!({"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"});
    assert_eq!(file(url), pdf);
    assert_eq!(
        file(json!({"filename": "a.pdf", "file_data": "JVBERi0x"})),
        pdf
    );
    assert_eq!(
        file(json!({"filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="}))["source"],
        json!({"type": "text", "media_type": "text/plain", "data": "hello"})
    );
}

#[test]
fn a_part_that_cannot_be_said_is_refused_with_its_place() {
    let part = |part: Value| refused(json!({"messages": [{"role": "user", "content": [part]}]}));
    let reasons = [
        part(json!({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}})),
        part(json!({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}})),
        part(json!({"type": "image_url", "image_url": {"url": "data:image/png,x"}})),
        part(json!({"type": "file", "file": {"file_id": "file-1"}})),
        part(json!({"type": "file", "file": {"file_data": "data:video/mp4;base64,AAAA"}})),
        part(json!({"type": "file", "file": {"file_data": "!"}})),
        part(json!({"type": "image_url"})),
    ];
    insta::assert_snapshot!(reasons.join("\n"), @r"
    messages[0].content: audio cannot be sent to this model
    messages[0].content: an image's url begins with https:, http: or data:
    messages[0].content: a data: url has to be base64
    messages[0].content: a file has to come with its data (file_data); one that was uploaded to another service cannot be read from here
    messages[0].content: a file of type video/mp4 cannot be sent to this model; send its text
    messages[0].content: a file of text has to be UTF-8, in base64
    messages[0].content: an image without a url
    ");
}

#[test]
fn marks_for_the_cache_are_kept() {
    let mark = json!({"type": "ephemeral"});
    let body = with(json!({
        "tools": [{"type": "function", "function": {"name": "f"}, "cache_control": mark}],
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": mark}]},
            {"role": "user", "content": "u", "cache_control": mark},
            {"role": "assistant", "tool_calls": [call("a", "f", "{}")]},
            {"role": "tool", "tool_call_id": "a", "content": "r", "cache_control": mark}]}));
    for place in [
        "/tools/0",
        "/system/0",
        "/messages/0/content/0",
        "/messages/2/content/0",
    ] {
        assert_eq!(
            body.pointer(place).unwrap()["cache_control"],
            mark,
            "{place}"
        );
    }
}
