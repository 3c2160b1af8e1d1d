//! The UI and its socket.

use access::Asked;
use access::browser::PROTOCOL;
use protocol::{Problem, ProblemKind, SessionId};
use worker::{Env, Headers, Request, Response, ResponseBody, Url};

use crate::answer::{self, Answer, internal};
use crate::session::{self, Visit};

/// Scripts and styles of our own alone, nothing inline, no other origin, no framing, and no text
/// that becomes markup.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

pub async fn health(env: &Env) -> Answer {
    let provider = crate::container::default_provider(env);
    answer::json(
        200,
        &serde_json::json!({
            "status": "healthy",
            "version": env!("CARGO_PKG_VERSION"),
            "provider": provider,
            "agent_image": concat!("claude-code-sandbox:", env!("CARGO_PKG_VERSION")),
            "timestamp": worker::Date::now().as_millis(),
        }),
    )
}

/// A file of the UI. Its name changes with its content, so it may be kept for good.
pub async fn asset(env: &Env, path: &str) -> Answer {
    let failed = |error: worker::Error| internal("assets", &error);
    let assets = env.assets("ASSETS").map_err(failed)?;
    let response = assets
        .fetch(format!("http://assets.internal{path}"), None)
        .await
        .map_err(failed)?;
    if response.status_code() != 200 {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "there is no such file of the UI",
        ));
    }
    let mut response = answer::with_open_headers(response).map_err(failed)?;
    let headers = response.headers_mut();
    headers
        .set("cache-control", "public, max-age=31536000, immutable")
        .map_err(failed)?;
    Ok(response)
}

/// The UI. What it is to show is in the address, where the page finds it.
pub async fn page(env: &Env) -> Answer {
    html(env, "index.html", CONTENT_SECURITY_POLICY).await
}

/// The reader's page of the API, which needs a style alone.
pub async fn docs(env: &Env) -> Answer {
    let policy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
        frame-ancestors 'none'";
    html(env, "api/docs.html", policy).await
}

/// The document of the API.
pub async fn openapi(env: &Env) -> Answer {
    let body = built(env, "api/openapi.json").await?;
    with_headers(
        body,
        &[
            ("content-type", "application/json"),
            ("cache-control", "no-cache"),
        ],
    )
}

async fn html(env: &Env, file: &str, policy: &str) -> Answer {
    with_headers(
        built(env, file).await?,
        &[
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", policy),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            // A new deployment names new assets; the page that names them must not be an old one.
            ("cache-control", "no-cache"),
        ],
    )
}

/// A file that comes with the UI.
///
/// # Errors
/// 503 where it is not built.
async fn built(env: &Env, file: &str) -> Result<ResponseBody, Problem> {
    let failed = |error: worker::Error| internal("assets", &error);
    let assets = env.assets("ASSETS").map_err(failed)?;
    let response = assets
        .fetch(format!("http://assets.internal/{file}"), None)
        .await
        .map_err(failed)?;
    if response.status_code() != 200 {
        return Err(Problem::new(
            ProblemKind::NotConfigured,
            "the UI is not built; build it with: cargo xtask build",
        ));
    }
    Ok(response.into_parts().1)
}

fn with_headers(body: ResponseBody, all: &[(&str, &str)]) -> Answer {
    let headers = Headers::new();
    for (name, value) in all {
        let set = headers.set(name, value);
        set.map_err(|error| internal("headers", &error))?;
    }
    Ok(Response::builder().with_headers(headers).body(body))
}

pub async fn socket(
    request: &Request,
    url: &Url,
    env: &Env,
    session: &str,
    visit: &Visit,
    asked: &Asked<'_>,
) -> Answer {
    wants_socket(request)?;
    let id = SessionId::parse(session)?;
    let wanted = super::events::of_socket(url)?;
    let warm = !url
        .query_pairs()
        .any(|(name, value)| name == "warm" && value == "false");
    opened(
        session::connect(env, &id, visit, wanted, warm).await?,
        asked,
    )
}

/// # Errors
/// 426 where a request for a WebSocket does not ask for one.
pub fn wants_socket(request: &Request) -> Result<(), Problem> {
    let upgrade = request.headers().get("upgrade").ok().flatten();
    if upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::UpgradeRequired,
        "this path is a WebSocket: send Upgrade: websocket",
    ))
}

/// A WebSocket as an answer to who has asked for it.
pub fn opened(response: Response, asked: &Asked<'_>) -> Answer {
    if !asked.speaks_protocol() {
        return Ok(response);
    }
    // A browser closes a socket whose answer selects none of the protocols that it has offered.
    answer::with_open_headers(response)
        .and_then(|mut response| {
            let headers = response.headers_mut();
            headers.set("sec-websocket-protocol", PROTOCOL)?;
            Ok(response)
        })
        .map_err(|error| internal("socket", &error))
}
