//! How an answer comes: at once, whole, or not at all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod world;

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::{Script, World, chunk, question, told};

const ONE: &str = "model_list: [{model_name: m, litellm_params: {model: openai/x, \
                   api_base: PROVIDERS/one, timeout: 2, stream_timeout: 1}}]\n\
                   router_settings: {num_retries: 0}";

#[tokio::test]
async fn the_first_token_is_there_before_the_second_is_sent() {
    let slow = Script {
        parts: vec![
            (
                Duration::ZERO,
                chunk(json!({"content": "one"}), Value::Null).into(),
            ),
            (Duration::from_secs(600), "never".into()),
        ],
        ..Script::chat("")
    };
    let config = ONE.replace("stream_timeout: 1", "stream_timeout: 600");
    let world = World::start(&config, &[("one", &[slow])]).await;
    let mut body = world.ask("m", true).await.bytes_stream();
    let mut read = String::new();
    while !read.contains("one") {
        let next = tokio::time::timeout(Duration::from_secs(10), body.next());
        let bytes = next.await.unwrap().unwrap().unwrap();
        read.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert!(read.starts_with("event: message_start\n"), "{read}");
}

#[tokio::test]
async fn s16_a_client_that_leaves_stops_the_provider() {
    let silent = Script::events(&[&chunk(json!({"content": "one"}), Value::Null)]).hanging();
    let config = ONE.replace("stream_timeout: 1", "stream_timeout: 600");
    let world = World::start(&config, &[("one", &[silent])]).await;
    let mut response = world.ask("m", true).await;
    assert!(response.chunk().await.unwrap().is_some());
    assert_eq!(world.open(), 1);
    drop(response);
    world
        .until("the provider is told to stop", |world| world.open() == 0)
        .await;
}

#[tokio::test]
async fn s16_a_client_that_leaves_before_the_first_token_stops_the_provider_too() {
    let silent = Script::chat("late").after(Duration::from_secs(600));
    let config = ONE.replace("timeout: 2", "timeout: 600");
    let world = World::start(&config, &[("one", &[silent])]).await;
    let asked = world
        .http
        .post(world.url("/v1/messages"))
        .json(&question("m", false));
    let left = asked.timeout(Duration::from_millis(300)).send().await;
    assert!(left.is_err());
    world
        .until("the provider is told to stop", |world| world.open() == 0)
        .await;
}

#[tokio::test]
async fn s13_s14_a_client_that_waits_gets_signs_of_life_and_then_the_answer() {
    let late = Script::chat("late").after(Duration::from_secs(6));
    let config = ONE.replace(
        "timeout: 2, stream_timeout: 1",
        "timeout: 60, stream_timeout: 60",
    );
    let world = World::start(&config, &[("one", &[late])]).await;
    let mut response = world.ask("m", true).await;
    assert_eq!(response.status(), 200);
    let first = response.chunk().await.unwrap().unwrap();
    assert_eq!(&first[..], b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
    let rest = response.text().await.unwrap();
    assert!(rest.starts_with("event: message_start\n"), "{rest}");
    assert_eq!(world::text_of(&rest), "late");
    assert!(
        rest.ends_with("data: {\"type\":\"message_stop\"}\n\n"),
        "{rest}"
    );
}

#[tokio::test]
async fn s13_an_error_after_signs_of_life_is_an_event() {
    let late = Script::json(401, json!({"error": {"message": "bad\nkey"}}));
    let late = late.after(Duration::from_secs(6));
    let config = ONE.replace(
        "timeout: 2, stream_timeout: 1",
        "timeout: 60, stream_timeout: 60",
    );
    let world = World::start(&config, &[("one", &[late])]).await;
    let text = world.ask("m", true).await.text().await.unwrap();
    let events: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(events[0], "event: ping\ndata: {\"type\":\"ping\"}");
    let error = events[1].strip_prefix("event: error\ndata: ").unwrap();
    let error: Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["error"]["type"], "api_error", "{error}");
    assert_eq!(events[2..], [""]);
}

#[tokio::test]
async fn s14_a_provider_that_falls_silent_in_mid_answer_is_waited_for_and_then_given_up() {
    let silent = Script::events(&[&chunk(json!({"content": "one"}), Value::Null)]).hanging();
    let config = ONE.replace("stream_timeout: 1", "stream_timeout: 7");
    let world = World::start(&config, &[("one", &[silent])]).await;
    let text = world.ask("m", true).await.text().await.unwrap();
    let one = text.find("one").unwrap();
    let ping = text.find("event: ping").unwrap();
    let error = text.find("event: error").unwrap();
    assert!(one < ping && ping < error, "{text}");
    assert!(text.contains("has sent nothing for 7 s"), "{text}");
    assert!(!text.contains("message_stop"), "{text}");
}

#[tokio::test]
async fn s10_a_stream_that_is_cut_ends_in_an_error_and_not_in_an_end() {
    let begun = chunk(json!({"content": "one"}), Value::Null);
    // What was sent has to be on its way before the connection breaks.
    let broken = Script::events(&[&begun, ": and\n\n"])
        .every(Duration::from_millis(50))
        .cut();
    for cut in [Script::events(&[&begun]), broken] {
        let world = World::start(ONE, &[("one", &[cut])]).await;
        let text = world.ask("m", true).await.text().await.unwrap();
        assert!(
            text.contains("one") && text.contains("event: error"),
            "{text}"
        );
        assert!(!text.contains("message_stop"), "{text}");
    }
}

#[tokio::test]
async fn e07_an_error_before_the_first_token_has_a_status_in_either_form() {
    for stream in [true, false] {
        let script = Script::json(429, json!({"error": {"message": "slow down"}}));
        let script = script
            .with("retry-after", "120")
            .with("x-request-id", "up_1");
        let world = World::start(ONE, &[("one", &[script])]).await;
        let response = world.ask("m", stream).await;
        assert_eq!(response.headers()["retry-after"], "120");
        assert_eq!(response.headers()["request-id"], "up_1");
        assert!(
            response.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .starts_with("req_")
        );
        let (status, body) = told(response).await;
        assert_eq!(
            (status, &body["error"]["type"]),
            (429, &json!("rate_limit_error"))
        );
    }
}

#[tokio::test]
async fn whatever_a_provider_answers_the_caller_gets_an_answer() {
    let endless = "data: ".to_owned() + &"x".repeat(40 * 1024 * 1024);
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x01\x02".to_vec();
    let odd: Vec<(&'static str, Script)> = vec![
        (
            "html",
            Script::body(200, "text/html", "<html>a captive portal</html>"),
        ),
        (
            "html error",
            Script::body(503, "text/html", "<html>down</html>"),
        ),
        ("nothing", Script::body(200, "application/json", "")),
        ("nothing at all", Script::events(&[])),
        (
            "a redirect",
            Script::body(302, "text/html", "").with("location", "http://127.0.0.1:9/"),
        ),
        (
            "an endless line",
            Script::body(200, "text/event-stream", endless),
        ),
        (
            "gzip",
            Script::body(200, "application/json", gzip).with("content-encoding", "gzip"),
        ),
        (
            "silence",
            Script::body(200, "application/json", "{").hanging(),
        ),
        ("slowness", Script::chat("x").after(Duration::from_secs(30))),
        (
            "a cut",
            Script::body(200, "application/json", "{\"choices\"").cut(),
        ),
        (
            "bytes",
            Script::body(200, "application/json", vec![0xff, 0xfe, 0x00]),
        ),
    ];
    let mut cases = Vec::new();
    for (what, script) in odd {
        for (door, provider, stream) in [
            ("/v1/messages", "openai", true),
            ("/v1/messages", "openai", false),
            ("/v1/messages", "anthropic", true),
            ("/v1/messages", "anthropic", false),
            ("/v1/chat/completions", "openai", true),
            ("/v1/chat/completions", "openai", false),
            ("/v1/chat/completions", "anthropic", true),
            ("/v1/chat/completions", "anthropic", false),
        ] {
            let script = script.clone();
            let case = format!("{what} of {provider} at {door}, {stream}");
            cases.push(tokio::spawn(odd_answer(
                case, door, provider, stream, script,
            )));
        }
    }
    for case in cases {
        case.await.unwrap();
    }
}

async fn odd_answer(case: String, door: &str, provider: &str, stream: bool, script: Script) {
    let config = ONE
        .replace("openai/x", &format!("{provider}/x"))
        .replace("timeout: 2,", "timeout: 2, api_key: k,");
    let world = World::start(&config, &[("one", &[script])]).await;
    let body = question("m", stream);
    let answer = tokio::time::timeout(Duration::from_secs(30), world.post(door, &body));
    let answer = answer
        .await
        .unwrap_or_else(|_| panic!("no answer to {case}"));
    let (status, body) = told(answer).await;
    assert!((500..600).contains(&status), "{case}: {status} {body}");
    let at_messages = door == "/v1/messages";
    assert_eq!(body["type"] == "error", at_messages, "{case}: {body}");
    assert_eq!(
        body["error"].get("code").is_some(),
        !at_messages,
        "{case}: {body}"
    );
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains(provider), "{case}: {message}");
    assert_eq!(world.asked().len(), 1, "{case}");
}

#[tokio::test]
async fn r29_a_body_that_is_too_large_is_refused_with_413() {
    let world = World::start(ONE, &[]).await;
    let mebibyte = vec![b' '; 1 << 20];
    // With and without a length that tells it beforehand. The answer is read before the body is sent
    // whole: a client that went on sending might see the connection close instead.
    for (length, mebibytes) in [
        ("content-length: 52428800", 0),
        ("transfer-encoding: chunked", 32),
    ] {
        let mut client = tokio::net::TcpStream::connect(world.router).await.unwrap();
        let head = format!("POST /v1/messages HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..mebibytes {
            client.write_all(b"100000\r\n").await.unwrap();
            client.write_all(&mebibyte).await.unwrap();
            client.write_all(b"\r\n").await.unwrap();
        }
        if mebibytes > 0 {
            // The byte too much.
            client.write_all(b"1\r\n \r\n").await.unwrap();
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let mut bytes = [0; 4096];
            let read = client.read(&mut bytes).await.unwrap();
            assert!(read > 0, "{length}: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&bytes[..read]);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{length}: {answer}");
        assert!(answer.contains(r#""type":"request_too_large""#), "{answer}");
    }
    assert_eq!(
        world
            .http
            .get(world.url("/health"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn e06_anthropics_stream_goes_through_byte_for_byte() {
    let config = "model_list: [{model_name: m, litellm_params: {model: anthropic/x, \
                  api_base: PROVIDERS/one, api_key: sk-ant-api-k}}]";
    let bytes = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\
        \"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
        {\"type\":\"text_delta\",\"text\":\"Grüße 🎈\"},\"new_field\":1.50}\n\nevent: message_delta\n\
        data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}\n\nevent: message_stop\n\
        data: {\"type\":\"message_stop\"}\n\n";
    for size in [1, 7, 1_000] {
        let mut script = Script::events(&[]);
        script.parts = bytes
            .as_bytes()
            .chunks(size)
            .map(|part| (Duration::ZERO, bytes::Bytes::copy_from_slice(part)))
            .collect();
        let world = World::start(config, &[("one", &[script])]).await;
        let read = world.ask("m", true).await.text().await.unwrap();
        assert_eq!(read, bytes);
        let sent = world.sent().remove(0);
        assert_eq!(sent.path, "/v1/messages");
        assert_eq!(sent.headers["x-api-key"], "sk-ant-api-k");
        assert_eq!(sent.json()["model"], "x");
    }
    // Cut, it gets the event that Anthropic did not send.
    let begun = bytes.split_once("event: message_delta").unwrap().0;
    let cut = Script::events(&[begun]);
    let world = World::start(config, &[("one", &[cut])]).await;
    let read = world.ask("m", true).await.text().await.unwrap();
    assert!(read.contains("\n\nevent: error\ndata: {"), "{read}");
}

/// The sockets of this process whose other end is at `peer`.
#[cfg(target_os = "linux")]
fn connections_to(peer: std::net::SocketAddr) -> Vec<std::net::TcpStream> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|entry| {
        let link = std::fs::read_link(entry.path()).ok()?;
        if !link.to_string_lossy().starts_with("socket:") {
            return None;
        }
        let number = entry.file_name().to_str()?.parse().ok()?;
        let socket = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).ok()?;
        let socket = std::net::TcpStream::from(socket);
        (socket.peer_addr().ok()? == peer).then_some(socket)
    })
    .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn s17_the_way_to_the_provider_holds_nothing_back_either() {
    let endless = Script::events(&[&chunk(json!({"content": "a"}), Value::Null)]).hanging();
    let world = World::start(ONE, &[("one", &[endless])]).await;
    let answer = world.ask("m", true).await;
    let connections = connections_to(world.stage.address);
    assert_eq!(connections.len(), 1);
    assert!(connections[0].nodelay().unwrap());
    drop(answer);
}

#[tokio::test]
async fn a_stream_is_over_with_its_last_event_whatever_its_connection_does() {
    let config = "model_list:\n\
        - {model_name: m, litellm_params: {model: anthropic/x, api_base: PROVIDERS/one, api_key: k}}\n\
        - {model_name: c, litellm_params: {model: openai/x, api_base: PROVIDERS/two, api_key: k}}\n";
    let end = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let messages = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\"}}\n\n",
        end,
    ];
    let one = Script::events(&messages).hanging();
    let two = Script::chat("hello").hanging();
    let world = World::start(config, &[("one", &[one]), ("two", &[two])]).await;
    let read = world.ask("m", true).await.text().await.unwrap();
    assert_eq!(read, messages.concat());
    let question = json!({"model": "c", "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    let read = world.post("/v1/chat/completions", &question).await;
    let read = read.text().await.unwrap();
    assert!(read.ends_with("data: [DONE]\n\n"), "{read}");
    world
        .until("both providers are let go", |world| world.open() == 0)
        .await;
}
