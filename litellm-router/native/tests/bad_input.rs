//! What callers send that is wrong, odd or too much: always an answer, in the caller's dialect, that
//! says what is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::{Script, World};

const CONFIG: &str = "
model_list:
- {model_name: groq/kimi, litellm_params: {model: openai/m, api_base: PROVIDERS/one}}
- {model_name: groq/llama, litellm_params: {model: openai/m, api_base: PROVIDERS/one},
   model_info: {max_output_tokens: 100}}
- {model_name: claude, litellm_params: {model: anthropic/m, api_base: PROVIDERS/two, api_key: k}}
- {model_name: local/demo, litellm_params: {model: demo/scripted}}
";

const DOORS: [&str; 2] = ["/v1/messages", "/v1/chat/completions"];

async fn world() -> World {
    let refused = Script::json(400, json!({"error": {"message": "no"}})).with("request-id", "up-1");
    World::start(
        CONFIG,
        &[("one", &[Script::chat("hello")]), ("two", &[refused])],
    )
    .await
}

/// The answer to a body: its status, its `request-id`, its JSON.
async fn answer(world: &World, door: &str, body: impl Into<reqwest::Body>) -> (u16, String, Value) {
    let sent = world.http.post(world.url(door)).body(body).send();
    let answer = sent.await.unwrap();
    let id = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert!(id("x-request-id").starts_with("req_"));
    let (status, id) = (answer.status().as_u16(), id("request-id"));
    let text = answer.text().await.unwrap();
    let json = serde_json::from_str(&text);
    (status, id, json.unwrap_or_else(|_| panic!("{text}")))
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_in_the_callers_dialect() {
    let world = world().await;
    let asks = |content: Value| json!({"model": "groq/kimi", "max_tokens": 9, "messages": content});
    let hi = json!([{"role": "user", "content": "hi"}]);
    let wrong: Vec<(Vec<u8>, u16, &str)> = vec![
        (b"hello".to_vec(), 400, "the body is not a"),
        (b"".to_vec(), 400, "the body is not a"),
        (b"[1, 2]".to_vec(), 400, "the body is not a"),
        (b"\xff\xfe{\"model\"".to_vec(), 400, "the body is not a"),
        (
            b"{\"model\": \"groq/kimi\", \"messages\": \"hi\"}".to_vec(),
            400,
            "messages",
        ),
        (
            b"{\"model\": \"\xc3\x28\", \"messages\": [{}]}".to_vec(),
            400,
            "model",
        ),
        (
            asks(json!([])).to_string().into_bytes(),
            400,
            "messages: at least one message is required",
        ),
        (
            json!({"messages": hi}).to_string().into_bytes(),
            400,
            "model",
        ),
        (
            json!({"model": 7, "messages": hi}).to_string().into_bytes(),
            400,
            "model",
        ),
        (
            json!({"model": "groq/kimmi", "messages": hi})
                .to_string()
                .into_bytes(),
            404,
            "groq/kimi",
        ),
        (
            json!({"model": "loca/demo", "messages": hi})
                .to_string()
                .into_bytes(),
            404,
            "local/demo",
        ),
    ];
    for door in DOORS {
        for (body, status, says) in &wrong {
            let (told, id, body) = answer(&world, door, body.clone()).await;
            assert_eq!(told, *status, "{door}: {body}");
            let message = body["error"]["message"].as_str().unwrap();
            assert!(message.contains(says), "{door}: {message} says no {says}");
            if door == DOORS[0] {
                assert_eq!(
                    (&body["type"], &body["request_id"]),
                    (&json!("error"), &json!(id))
                );
            } else {
                assert!(body["error"].get("code").is_some() && body.get("request_id").is_none());
            }
        }
    }
    let empty = json!({"model": "groq/kimi", "messages": []}).to_string();
    let counted = answer(&world, "/v1/messages/count_tokens", empty).await;
    assert_eq!(counted.0, 400, "{}", counted.2);
    assert_eq!(world.asked(), [""; 0], "nobody was asked");
}

#[tokio::test]
async fn an_error_tells_the_id_that_its_header_tells() {
    let world = world().await;
    let ask = |model: &str, stream: bool| {
        json!({"model": model, "max_tokens": 9, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}]})
        .to_string()
    };
    // A path that is none, a method that is not for it.
    let (status, id, body) = answer(&world, "/v1/nothing", "{}").await;
    assert_eq!((status, &body["request_id"]), (404, &json!(id)));
    // The words of Anthropic are nobody's to add to.
    let (status, id, body) = answer(&world, "/v1/messages", ask("claude", false)).await;
    assert_eq!(
        (status, id.as_str(), &body),
        (400, "up-1", &json!({"error": {"message": "no"}}))
    );
    // In the middle of a stream that is translated, and of one that passes through.
    let first = world::chunk(json!({"content": "a"}), Value::Null);
    let pause = std::time::Duration::from_millis(200);
    let openai = Script::events(&[&first, ": a pause\n\n"])
        .every(pause)
        .cut();
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\"}}\n\n";
    let anthropic = Script::events(&[start, ": a pause\n\n"]).every(pause).cut();
    let world = World::start(CONFIG, &[("one", &[openai]), ("two", &[anthropic])]).await;
    for model in ["groq/kimi", "claude"] {
        let sent = world
            .http
            .post(world.url("/v1/messages"))
            .body(ask(model, true));
        let answer = sent.send().await.unwrap();
        let id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let text = answer.text().await.unwrap();
        let (_, error) = text
            .split_once("event: error\ndata: ")
            .unwrap_or_else(|| panic!("{model}: {text}"));
        let error: Value = serde_json::from_str(error.trim()).unwrap();
        assert_eq!(error["request_id"], id.as_str(), "{model}: {text}");
    }
}

#[tokio::test]
async fn limits_on_tokens_of_every_kind_are_sent_cut_or_refused() {
    let world = world().await;
    let ask = async |model: &str, door: &str, limit: Value| {
        let mut body = json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
        if limit != Value::Null {
            body["max_tokens"] = limit;
        }
        let sent = world
            .http
            .post(world.url(door))
            .json(&body)
            .send()
            .await
            .unwrap();
        (sent.status().as_u16(), sent.text().await.unwrap())
    };
    for wrong in [
        json!(-1),
        json!(0.5),
        json!("many"),
        json!(1e30),
        json!(-9e18),
        json!(u64::MAX),
    ] {
        let (status, body) = ask("groq/kimi", DOORS[0], wrong.clone()).await;
        assert!(
            status == 400 && body.contains("max_tokens"),
            "{wrong}: {status} {body}"
        );
    }
    let sent = |name: &str| world.sent().last().unwrap().json()[name].clone();
    let huge = json!(500_000);
    assert_eq!(ask("groq/kimi", DOORS[0], huge.clone()).await.0, 200);
    assert_eq!(sent("max_tokens"), huge);
    assert_eq!(ask("groq/llama", DOORS[0], huge).await.0, 200);
    assert_eq!(sent("max_tokens"), 100);
    // Missing: each provider has its own.
    for door in DOORS {
        let (status, body) = ask("groq/kimi", door, Value::Null).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(sent("max_tokens"), Value::Null);
    }
}

#[tokio::test]
async fn odd_conversations_are_mended_and_not_refused() {
    let world = world().await;
    let turns = json!([
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "never", "content": "?"}]},
        {"role": "wizard", "content": "abracadabra"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]},
        {"role": "user", "content": [{"type": "hologram", "x": 1}, {"type": "text", "text": "go on"}]},
    ]);
    let body = json!({"model": "groq/kimi", "max_tokens": 9, "messages": turns}).to_string();
    let (status, _, body) = answer(&world, DOORS[0], body).await;
    assert_eq!(status, 200, "{body}");
    let sent = world.sent().remove(0).json();
    let roles: Vec<&str> = sent["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| turn["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "tool", "user"], "{sent}");
}

/// What is answered to these bytes, to the end of the connection.
async fn said_to(world: &World, bytes: &str) -> String {
    let address = world.url("").replace("http://", "");
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(bytes.as_bytes()).await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test]
async fn a_head_that_is_none_is_refused_without_a_body_and_ends_its_connection() {
    let world = world().await;
    let head = |more: &str| format!("POST /v1/messages HTTP/1.1\r\nhost: x\r\n{more}\r\n");
    let headers: String = (0..200)
        .map(|number| format!("x-{number}: y\r\n"))
        .collect();
    for (head, status) in [
        ("this is no head\r\n\r\n".to_owned(), "400 Bad Request"),
        (head("no colon\r\n"), "400 Bad Request"),
        (head("content-length: -1\r\n"), "400 Bad Request"),
        (head(&headers), "431 Request Header Fields Too Large"),
        (
            format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000)),
            "414 URI Too Long",
        ),
    ] {
        let said = said_to(&world, &head).await;
        let shown: String = head.chars().take(80).collect();
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{shown}: {said}"
        );
        assert!(said.ends_with("\r\n\r\n"), "{shown}: {said}");
    }
    // Nobody else notices.
    assert_eq!(answer(&world, "/v1/messages", "hello").await.0, 400);
}
