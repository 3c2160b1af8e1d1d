//! The scripted language model: a provider with the OpenAI-compatible API that answers as a test
//! wants it, also badly. Models that answer sensibly are the router's own `local/demo`.

use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use axum::routing::post;
use futures_util::stream;

/// A provider on a port of its own.
pub struct ScriptedProvider {
    address: std::net::SocketAddr,
}

/// The ways in which it answers; each is a model of the router, `scripted/<way>`.
const WAYS: [&str; 7] = ["text", "401", "429", "500", "cut", "hang", "html"];

impl ScriptedProvider {
    /// # Errors
    /// Where there is no free port.
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let routes = Router::new().route("/{way}/chat/completions", post(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address })
    }

    /// A LiteLLM config with the demo model, the same for money, and the scripted ones.
    pub fn litellm_config(&self) -> String {
        let mut config = String::from(
            "model_list:\n  - model_name: local/demo\n    litellm_params:\n      model: demo/scripted\n    \
             model_info:\n      display_name: A demonstration with a name that is too long for a phone\n  \
             - model_name: priced/demo\n    litellm_params:\n      model: demo/scripted\n      \
             input_cost_per_token: 0.001\n      output_cost_per_token: 0.01\n",
        );
        for way in WAYS {
            config += &format!(
                "  - model_name: scripted/{way}\n    litellm_params:\n      model: openai/{way}\n      \
                 api_base: http://{}/{way}\n      api_key: test-key\n      timeout: 2\n      stream_timeout: 2\n",
                self.address
            );
        }
        config
    }
}

async fn answer(Path(way): Path<String>) -> Response<Body> {
    let error = |status: u16, message: &str| {
        let body =
            format!(r#"{{"error":{{"message":"{message}","type":"scripted","code":null}}}}"#);
        respond(status, "application/json", Body::from(body))
    };
    match way.as_str() {
        "401" => error(401, "the key is not valid"),
        "429" => error(429, "too many requests, slow down"),
        "500" => error(500, "the provider fell over"),
        "html" => respond(200, "text/html", Body::from("<html>a captive portal</html>")),
        "hang" => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            error(500, "too late")
        }
        "cut" => stream_of(vec![delta("The beginning of")], true),
        _ => stream_of(
            vec![
                delta("Scripted"),
                delta(" answer"),
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#
                    .to_owned(),
                "[DONE]".to_owned(),
            ],
            false,
        ),
    }
}

fn delta(text: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#
    )
}

fn stream_of(events: Vec<String>, cut: bool) -> Response<Body> {
    let events = events
        .into_iter()
        .map(|event| Ok(format!("data: {event}\n\n")));
    let broken = cut.then(|| Err(std::io::Error::other("cut")));
    respond(
        200,
        "text/event-stream",
        Body::from_stream(stream::iter(events.chain(broken))),
    )
}

fn respond(status: u16, content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert("content-type", value);
    }
    response
}
