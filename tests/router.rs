//! What is wrong with a call is told by the router in workerd as by the program: the shell around it
//! is another one.

mod alone;
mod clients;
mod isolates;

use std::sync::Arc;

use alone::{Alone, Variables};
use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::{PATIENCE, Running, World, test};

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![
        test(world, "router::tells_what_is_wrong_with_a_body", wrong),
        test(world, "router::takes_no_body_without_measure", large),
        test(world, "router::answers_whatever_a_provider_does", odd),
        test(world, "router::reads_a_provider_that_compresses", gzipped),
        lone("router::books_outlive_its_process", books),
        lone("router::each_call_leaves_one_line_and_no_more", lines),
        lone(
            "router::isolates_tell_each_other",
            isolates::tell_each_other,
        ),
        lone("router::waits_for_no_object", isolates::wait_for_no_object),
        lone("router::serves_the_sdks_that_people_use", clients::sdks),
        lone("router::pages_of_named_origins_may_call", clients::pages),
        lone("router::configuration_is_a_variable", configured),
        lone("router::a_broken_configuration_is_told", broken),
    ]
}

/// A test of a router of its own.
fn lone<F>(name: &str, case: fn() -> F) -> Trial
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Runtime::new()?;
        let held = runtime.block_on(case());
        held.map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn post(world: &World, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    let request = world.http.post(format!("{}{path}", world.stack.router_url));
    request.bearer_auth(&world.stack.master_key).body(body)
}

async fn wrong(world: Arc<World>) -> Result<()> {
    let said = json!([{"role": "user", "content": "hi"}]);
    let json = |body: Value| body.to_string().into_bytes();
    let wrong = [
        (b"hello".to_vec(), 400, "the body is not a"),
        (b"".to_vec(), 400, "the body is not a"),
        (b"\xff\xfe".to_vec(), 400, "the body is not a"),
        (
            json(json!({"model": "local/demo", "messages": []})),
            400,
            "at least one message",
        ),
        (
            json(json!({"model": "local/dmo", "messages": said})),
            404,
            "local/demo",
        ),
    ];
    for path in ["/v1/messages", "/v1/chat/completions"] {
        for (body, status, words) in wrong.clone() {
            let answer = post(&world, path, body).send().await?;
            let told = answer.status().as_u16();
            let id = answer
                .headers()
                .get("request-id")
                .cloned()
                .context("no id")?;
            let body: Value = answer.json().await?;
            let message = body["error"]["message"].as_str().unwrap_or_default();
            ensure!(
                told == status && message.contains(words),
                "{path}: {told} {body}"
            );
            if path == "/v1/messages" {
                ensure!(
                    body["request_id"].as_str() == Some(id.to_str()?),
                    "{id:?} {body}"
                );
            }
        }
    }
    Ok(())
}

/// A client that goes on sending reads the answer all the same, whether it says at first how much it will
/// send or not.
async fn large(world: Arc<World>) -> Result<()> {
    let key = &world.stack.master_key;
    let head = format!("POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n");
    let told = format!("{head}content-length: {}\r\n\r\n", 50 * 1024 * 1024);
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let mib = vec![b' '; 1024 * 1024];
    let chunk = [b"100000\r\n".as_slice(), &mib, b"\r\n"].concat();
    for (head, part) in [(told, mib), (chunked, chunk)] {
        // What stands before the Worker in development at times ends a connection whose answer comes
        // before the body has ended, and passes nothing of it on.
        let mut answer = String::new();
        for _ in 0..8 {
            answer = answer_to_large(&world, head.clone(), part.clone()).await?;
            if !answer.is_empty() {
                break;
            }
        }
        ensure!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        ensure!(answer.contains("request_too_large"), "{answer}");
    }
    let health = world.http.get(format!("{}/health", world.stack.router_url));
    ensure!(health.send().await?.status() == 200, "it lives on");
    Ok(())
}

/// What is answered to 50 parts of a body, which does not end; nothing where the connection ends.
async fn answer_to_large(world: &World, head: String, part: Vec<u8>) -> Result<String> {
    let address = world.stack.router_url.replace("http://", "");
    let connection = tokio::net::TcpStream::connect(&address).await?;
    let (mut read, mut write) = connection.into_split();
    let sending = tokio::spawn(async move {
        write.write_all(head.as_bytes()).await?;
        for _ in 0..50 {
            write.write_all(&part).await?;
        }
        // It stays open: the answer is not one to an end.
        Ok::<_, std::io::Error>(write)
    });
    let mut text = String::new();
    while !text.contains("request_too_large") {
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, read.read(&mut bytes)).await;
        match read.with_context(|| format!("no answer: {text}"))? {
            Ok(0) | Err(_) => break,
            Ok(read) => text += &String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()),
        }
    }
    sending.abort();
    Ok(text)
}

/// Every call gets an answer in its own dialect, with what is wrong in it, whatever comes back.
async fn odd(world: Arc<World>) -> Result<()> {
    let said = json!([{"role": "user", "content": "hi"}]);
    for (way, status, words) in [
        ("redirect", 502, "status 307"),
        ("gzip", 502, ""),
        ("html", 502, ""),
        ("line", 502, ""),
        ("nothing", 502, ""),
        ("hang", 504, "did not answer within 2 s"),
    ] {
        for (path, stream) in [
            ("/v1/messages", false),
            ("/v1/messages", true),
            ("/v1/chat/completions", false),
            ("/v1/chat/completions", true),
        ] {
            let body = json!({"model": format!("scripted/{way}"), "max_tokens": 9, "stream": stream,
                "num_retries": 0, "messages": said});
            let answer = post(&world, path, body.to_string()).send().await;
            let answer = answer.with_context(|| format!("{way} {path} {stream}"))?;
            let told = answer.status().as_u16();
            let text = answer.text().await?;
            let error: Value = serde_json::from_str(&text)
                .with_context(|| format!("{way} {path} {stream}: {told} {text}"))?;
            let message = error["error"]["message"].as_str().unwrap_or_default();
            ensure!(
                told == status && !message.is_empty() && message.contains(words),
                "{way} {path} {stream}: {told} {text}"
            );
            ensure!(!text.contains("test-key"), "{way}: {text}");
            let is_messages = path == "/v1/messages";
            ensure!((error["type"] == "error") == is_messages, "{path}: {text}");
        }
    }
    Ok(())
}

/// Nobody has asked for that, and some do it all the same: the runtime unpacks it.
async fn gzipped(world: Arc<World>) -> Result<()> {
    for path in ["/v1/messages", "/v1/chat/completions"] {
        for stream in [false, true] {
            let body = json!({"model": "scripted/gzipped", "max_tokens": 9, "stream": stream,
                "messages": [{"role": "user", "content": "hi"}]});
            let answer = post(&world, path, body.to_string()).send().await?;
            let status = answer.status().as_u16();
            let text = answer.text().await?;
            ensure!(
                status == 200 && text.contains("unpacked"),
                "{path} {stream}: {status} {text}"
            );
        }
    }
    Ok(())
}

/// What is wrong is in the log, and its place in what the router says of its health; nothing of the
/// configuration is told to callers, and nothing but that works.
async fn broken() -> Result<()> {
    let yaml = "model_list: []\nrouter_settings:\n  routing_strategy: sk-secret\n";
    let router = Alone::start(variables(json!({"LITELLM_CONFIG": yaml}))).await?;
    for (path, status) in [
        ("/health", 503),
        ("/health/readiness", 503),
        ("/worker-health", 503),
        ("/health/liveliness", 200),
        ("/v1/models", 500),
    ] {
        let (told, body) = router.get(path, "").await?;
        let text = body.to_string();
        ensure!(told == status, "{path}: {told} {text}");
        ensure!(text.contains("line 3, column 21"), "{path}: {text}");
        ensure!(!text.contains("sk-secret"), "{path}: {text}");
    }
    let body = json!({"model": "local/demo", "messages": []});
    let (status, body) = router.post("/v1/messages", "", &body).await?;
    ensure!(status == 500 && body["type"] == "error", "{status} {body}");
    let words = [
        "line 3, column 21",
        "router_settings.routing_strategy",
        "least-busy",
    ];
    router.line(&words).await?;
    router.stop().await;
    Ok(())
}

/// A variable of wrangler's configuration may be an object as well as a text.
async fn configured() -> Result<()> {
    let entry = json!({"model_name": "mine", "litellm_params": {"model": "groq/x", "mock_response": "Mine."}});
    let config = json!({"model_list": [entry], "router_settings": {"redis_host": "r"}});
    let text = "model_list:\n- {model_name: mine, litellm_params: {model: groq/x, mock_response: Mine.}}\n\
                router_settings: {redis_host: r}\n";
    for config in [config, json!(text)] {
        let router = Alone::start(variables(json!({"LITELLM_CONFIG": config}))).await?;
        let (_, models) = router.get("/v1/models", "").await?;
        let names = models["data"].as_array().context("no list")?;
        let names: Vec<&Value> = names.iter().map(|model| &model["id"]).collect();
        ensure!(names == ["mine"], "{models}");
        let ask = json!({"model": "mine", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        let (status, body) = router.post("/v1/messages", "", &ask).await?;
        ensure!(
            status == 200 && body["content"][0]["text"] == "Mine.",
            "{status} {body}"
        );
        router
            .line(&["router_settings.redis_host has no effect"])
            .await?;
        router.stop().await;
    }
    Ok(())
}

/// What an account has used is known to a process that is new, though its first call waits for no word of
/// it; what is refused stands in the log.
async fn books() -> Result<()> {
    let config = "model_list:\n- {model_name: mine, litellm_params: {model: groq/x, mock_response: Mine.}}\n\
                  general_settings:\n  master_key: sk-master\n  keys:\n  \
                  - {name: small, key: sk-small, limits: {max_tokens: 5}}\n";
    let mut router = Alone::start(variables(json!({"LITELLM_CONFIG": config}))).await?;
    let ask =
        json!({"model": "mine", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let begin = async |router: &Alone| {
        let mut answers = Vec::new();
        for _ in 0..50 {
            let (status, body) = router.post("/v1/messages", "sk-small", &ask).await?;
            answers.push(status);
            if status == 429 {
                let message = body["error"]["message"].as_str().unwrap_or_default();
                ensure!(message.contains("small has used up 5 tokens"), "{body}");
                break;
            }
            ensure!(status == 200, "{status} {body}");
        }
        ensure!(answers.last() == Some(&429), "no end: {answers:?}");
        Ok(answers.len())
    };
    let first = begin(&router).await?;
    ensure!(first == 2, "one call uses the budget up, not {first}");
    let line = router
        .line(&["\"status\":429", "\"outcome\":\"refused\""])
        .await?;
    ensure!(line.contains("\"model\":\"mine\""), "{line}");
    ensure!(!router.log().contains("sk-small"), "no key is logged");
    let total = async |router: &Alone| {
        let (_, spend) = router.get("/spend/keys/small", "sk-master").await?;
        Ok::<_, anyhow::Error>(spend["total"]["requests"].as_u64())
    };
    // It is booked beside the answer.
    let mut booked = None;
    for _ in 0..200 {
        booked = total(&router).await?;
        if booked == Some(1) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    ensure!(booked == Some(1), "{booked:?}");
    router.crash_and_restart().await?;
    ensure!(total(&router).await? == Some(1), "the books are kept");
    // It has not heard of the account when the first call comes, and has soon after.
    let again = begin(&router).await?;
    ensure!(again >= 2, "the first call has waited for the books");
    router.stop().await;
    Ok(())
}

/// Each call that asks a model, or is refused, stands in the log once; what asks none does not.
async fn lines() -> Result<()> {
    let config = "model_list:\n- {model_name: d, litellm_params: {model: demo/scripted}}\n\
                  - {model_name: m, litellm_params: {model: groq/x, mock_response: Mocked.}}\n\
                  litellm_settings: {cache: true}\n";
    let router = Alone::start(variables(json!({"LITELLM_CONFIG": config}))).await?;
    let ask = |model: &str, stream: bool| {
        json!({"model": model, "max_tokens": 9, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}]})
    };
    let mut asked = Vec::new();
    for (path, body, status) in [
        ("/v1/messages", ask("d", false), 200),
        ("/v1/messages", ask("d", true), 200),
        ("/v1/chat/completions", ask("d", true), 200),
        ("/v1/messages", ask("m", false), 200),
        // From the cache.
        ("/v1/messages", ask("m", false), 200),
        ("/v1/messages", ask("no-such", false), 404),
        ("/v1/messages", json!("no object"), 400),
        ("/v1/messages/count_tokens", ask("d", false), 0),
        ("/v1/models", Value::Null, 0),
        ("/worker-health", Value::Null, 0),
        ("/health", Value::Null, 0),
        ("/metrics", Value::Null, 0),
        // The last one's line comes behind those of all others.
        ("/v1/messages", ask("d", false), 200),
    ] {
        let url = format!("{}{path}", router.url);
        let call = match &body {
            Value::Null => router.http.get(url),
            body => router.http.post(url).json(body),
        };
        let answer = call.send().await?;
        let told = answer.status().as_u16();
        let id = answer.headers().get("x-request-id").context("no id")?;
        let id = id.to_str()?.to_owned();
        answer.bytes().await?;
        match status {
            0 => ensure!(told == 200, "{path}: {told}"),
            status => {
                ensure!(told == status, "{path}: {told}");
                asked.push((id, u64::from(status)));
            }
        }
    }
    let (last, _) = asked.last().context("nothing was asked")?;
    router.line(&["\"request_id\"", last]).await?;
    let log = router.log();
    let mut lines = Vec::new();
    for line in log.lines().filter(|line| line.contains("\"request_id\"")) {
        let (_, json) = line.split_at(line.find('{').unwrap_or_default());
        let line: Value = serde_json::from_str(json).with_context(|| line.to_owned())?;
        let id = line["request_id"].as_str().unwrap_or_default().to_owned();
        lines.push((id, line["status"].as_u64().unwrap_or_default()));
    }
    asked.sort();
    lines.sort();
    ensure!(lines == asked, "{lines:?}\nfor {asked:?}");
    router.stop().await;
    Ok(())
}

fn variables(value: Value) -> Variables {
    match value {
        Value::Object(variables) => variables,
        _ => Variables::new(),
    }
}
