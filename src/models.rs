//! What the router knows: which models there are, and what a session has used of them. Nothing here
//! has a list of its own.

use std::time::Duration;

use protocol::{Problem, ProblemKind, SessionId};
use serde::Deserialize;
use serde_json::{Value, json};
use session::Spent;
use worker::{Env, Fetcher, Method, RequestInit};

use crate::answer::{internal, read_json, within};

/// The model of a deployment that has a provider's key, where nobody chose another.
const PREFERRED: &str = "groq/openai/gpt-oss-120b";

/// How long the router may take to tell its models: it asks nobody for them.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct List {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    display_name: String,
    /// Whether the router has what it takes to call it.
    #[serde(default)]
    available: bool,
    /// The most tokens that it takes at once, where the router's configuration says.
    #[serde(default)]
    max_input_tokens: Option<u64>,
}

/// The models for a menu, with the default one.
///
/// # Errors
/// Where the router does not answer.
pub async fn menu(env: &Env) -> Result<Value, Problem> {
    let models = list(env).await?;
    Ok(json!({
        "default": default_of(env, &models).await?,
        "models": models.iter().map(|model| json!({
            "id": model.id,
            "name": model.display_name,
            "provider": model.id.split('/').next().unwrap_or_default(),
            "available": model.available,
            "context_window": model.max_input_tokens,
        })).collect::<Vec<_>>(),
    }))
}

/// The model that a key of somebody's own is most likely for, by how providers' keys begin.
pub fn model_of_key(key: &str) -> Option<&'static str> {
    const KEYS: [(&str, &str); 3] = [
        ("sk-ant-", "claude-sonnet-4-5"),
        ("gsk_", PREFERRED),
        ("sk-or-", "openrouter/z-ai/glm-4.5"),
    ];
    let known = KEYS.iter().find(|(begin, _)| key.starts_with(begin));
    known.map(|(_, model)| *model)
}

/// The model of a session in which nobody has chosen one.
///
/// # Errors
/// Where the router does not answer.
pub async fn default_model(env: &Env) -> Result<String, Problem> {
    let models = list(env).await?;
    default_of(env, &models).await
}

/// # Errors
/// 404 with the nearest names where the router has no such model, 502 where it has no key for it.
pub async fn check(env: &Env, model: &str) -> Result<(), Problem> {
    if find(env, model).await?.available {
        return Ok(());
    }
    let provider = model.split('/').next().unwrap_or_default();
    let words = format!(
        "the model router has no key for {model}; set the key of its provider ({}_API_KEY) there and \
         start it again, or choose another model",
        provider.to_ascii_uppercase()
    );
    Err(Problem::new(ProblemKind::ModelFailed, words).at("model"))
}

/// The preferred model where the router can call it, else the first that it can.
async fn default_of(env: &Env, models: &[Model]) -> Result<String, Problem> {
    let preferred = env
        .var("DEFAULT_MODEL")
        .map_or_else(|_| PREFERRED.to_owned(), |value| value.to_string());
    match find(env, &preferred).await {
        Ok(model) if model.available => return Ok(preferred),
        Err(problem) if problem.kind != ProblemKind::NotFound => return Err(problem),
        _ => {}
    }
    let available = models.iter().find(|model| model.available);
    Ok(available.map_or(preferred, |model| model.id.clone()))
}

/// What the router knows of a model, by its name or by a wildcard.
async fn find(env: &Env, model: &str) -> Result<Model, Problem> {
    let mut path = String::new();
    for byte in model.bytes() {
        use std::fmt::Write;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_') {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    let mut response = ask(env, &format!("/v1/models/{path}")).await?;
    match response.status_code() {
        200..=299 => read_json(&mut response).await,
        404 => {
            let told = read_json::<Value>(&mut response).await.ok();
            let told = told
                .as_ref()
                .and_then(|body| body.pointer("/error/message"))
                .and_then(Value::as_str)
                .unwrap_or("there is no such model");
            Err(Problem::new(ProblemKind::NotFound, told).at("model"))
        }
        status => Err(unavailable(status)),
    }
}

async fn list(env: &Env) -> Result<Vec<Model>, Problem> {
    let mut response = ask(env, "/v1/models").await?;
    if response.status_code() != 200 {
        return Err(unavailable(response.status_code()));
    }
    let list: List = read_json(&mut response).await?;
    Ok(list.data)
}

/// What a session's calls have used, since ever.
///
/// # Errors
/// Where the router does not answer.
pub async fn spent(env: &Env, session: &SessionId) -> Result<Spent, Problem> {
    #[derive(Deserialize)]
    struct Books {
        total: Spent,
    }
    let mut response = ask(env, &format!("/spend/sessions/{session}")).await?;
    match response.status_code() {
        200 => Ok(read_json::<Books>(&mut response).await?.total),
        status => Err(unavailable(status)),
    }
}

async fn ask(env: &Env, path: &str) -> Result<worker::Response, Problem> {
    let router: Fetcher = env
        .service("ROUTER")
        .map_err(|error| internal("ROUTER", &error))?;
    let headers = router_headers(env)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Get).with_headers(headers);
    let answer = async {
        let answered = router
            .fetch(format!("http://router.internal{path}"), Some(init))
            .await;
        answered.map_err(|error| {
            internal("router", &error);
            unavailable(503)
        })
    };
    within(PATIENCE, "the model router", answer).await
}

/// The headers with which this Worker calls the router: with the master key where there is one.
///
/// # Errors
/// Where the platform refuses a header, which it does not.
pub fn router_headers(env: &Env) -> Result<worker::Headers, Problem> {
    let key = env
        .secret("LITELLM_MASTER_KEY")
        .map_or_else(|_| "auto-detect".to_owned(), |key| key.to_string());
    let headers = worker::Headers::new();
    headers
        .set("authorization", &format!("Bearer {key}"))
        .map_err(|error| internal("headers", &error))?;
    Ok(headers)
}

fn unavailable(status: u16) -> Problem {
    Problem::new(
        ProblemKind::ModelFailed,
        format!("the model router does not answer (status {status}); try again in a moment"),
    )
}
