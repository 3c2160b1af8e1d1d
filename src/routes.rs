//! What the outside can ask, and who answers.

mod agent;
mod claude_code;
mod demo;
mod events;
mod permissions;
mod sandbox;

use protocol::{Problem, ProblemKind, SessionId};
use worker::{Env, Method, Request, Response, Result};

use crate::admission::{self, Caller};
use crate::answer::{self, Answer, internal};

/// Everything that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Root,
    NewSession,
    Page {
        session: String,
    },
    Health,
    Models,
    Socket {
        session: String,
    },
    AgentMessage,
    AgentState {
        session: String,
    },
    /// The session's log over HTTP.
    Events {
        session: String,
    },
    /// The answer to what the agent asks.
    Permission {
        session: String,
        request: String,
    },
    ClaudeCode,
    ClaudeCodeDebug,
    /// A script or style of the UI, named by its content.
    Asset,
    /// What a sandbox sends whose provider can't intercept its traffic.
    FromSandbox {
        session: String,
        path: String,
    },
}

impl Route {
    /// The route of a path, and the methods that it has.
    fn of(path: &str) -> Option<(Self, &'static [Method])> {
        const GET: &[Method] = &[Method::Get, Method::Head];
        const POST: &[Method] = &[Method::Post];
        let mut parts = path.strip_prefix('/')?.splitn(4, '/');
        let parts = (
            parts.next().unwrap_or_default(),
            parts.next(),
            parts.next(),
            parts.next(),
        );
        Some(match parts {
            ("", None, ..) => (Self::Root, GET),
            ("demo", None | Some(""), None, _) => (Self::NewSession, GET),
            ("demo", Some("health"), None, _) => (Self::Health, GET),
            ("demo", Some("models"), None, _) => (Self::Models, GET),
            ("demo", Some("ws"), Some(session), None) => (
                Self::Socket {
                    session: session.to_owned(),
                },
                &[Method::Get],
            ),
            ("demo", Some(session), None, _) => (
                Self::Page {
                    session: session.to_owned(),
                },
                GET,
            ),
            ("agent", Some("message"), None, _) => (Self::AgentMessage, POST),
            ("agent", Some(session), Some("state"), None) => (
                Self::AgentState {
                    session: session.to_owned(),
                },
                GET,
            ),
            ("api", Some("sessions"), Some(session), Some("events")) => (
                Self::Events {
                    session: session.to_owned(),
                },
                &[Method::Get],
            ),
            ("api", Some("sessions"), Some(session), Some(rest)) => {
                let request = rest.strip_prefix("permissions/")?;
                (
                    Self::Permission {
                        session: session.to_owned(),
                        request: request.to_owned(),
                    },
                    POST,
                )
            }
            ("claude-code", None, ..) => (Self::ClaudeCode, POST),
            ("claude-code", Some("debug"), None, _) => (Self::ClaudeCodeDebug, GET),
            ("assets", Some(_), None, _) => (Self::Asset, GET),
            ("sandbox", Some(session), Some(first), rest) => (
                Self::FromSandbox {
                    session: session.to_owned(),
                    path: match rest {
                        Some(rest) => format!("/{first}/{rest}"),
                        None => format!("/{first}"),
                    },
                },
                &[Method::Get, Method::Head, Method::Post],
            ),
            _ => return None,
        })
    }
}

/// Answers every request, with an `x-request-id`.
///
/// # Errors
/// Where the platform itself fails; the platform answers 500 then.
pub async fn answer(request: Request, env: Env) -> Result<Response> {
    let id = format!("req_{}", crate::random::hex::<12>()?);
    let answered = match dispatch(request, &env, &id).await {
        Ok(response) => response,
        Err(problem) => answer::problem(&problem)?,
    };
    let mut answered = answer::with_open_headers(answered)?;
    answered.headers_mut().set("x-request-id", &id)?;
    answered
        .headers_mut()
        .set("x-content-type-options", "nosniff")?;
    Ok(answered)
}

async fn dispatch(request: Request, env: &Env, request_id: &str) -> Answer {
    let url = request
        .url()
        .map_err(|_| Problem::bad_request("the URL can't be read"))?;
    let Some((route, methods)) = Route::of(url.path()) else {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "there is nothing at this path; the UI is at /demo",
        ));
    };
    if !methods.contains(&request.method()) {
        return method_not_allowed(methods);
    }
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let (origin_header, authorization) = (header("origin"), header("authorization"));
    let fetch_site = header("sec-fetch-site");
    let is_page = matches!(route, Route::Root | Route::NewSession | Route::Page { .. });
    let token = env
        .secret("OPERATOR_TOKEN")
        .ok()
        .map(|token| token.to_string());
    let caller = Caller {
        host: url.host_str().unwrap_or_default(),
        origin: &url.origin().ascii_serialization(),
        origin_header: origin_header.as_deref(),
        authorization: authorization.as_deref(),
        fetch_site: fetch_site.as_deref(),
        opens_page: is_page && header("sec-fetch-mode").as_deref() == Some("navigate"),
    };
    match route {
        Route::Health => return demo::health(env).await,
        // The same for everybody, and nobody's secret.
        Route::Asset => return demo::asset(env, url.path()).await,
        // The sandbox's own token is checked where it is known.
        Route::FromSandbox { session, path } => {
            return sandbox::forward(request, env, &SessionId::parse(&session)?, &path).await;
        }
        _ => admission::admit(&caller, token.as_deref())?,
    }
    match route {
        Route::Root => redirect("/demo"),
        Route::NewSession => {
            let id = SessionId::from_random(
                crate::random::bytes().map_err(|error| internal("random", &error))?,
            );
            redirect(&format!("/demo/{id}"))
        }
        Route::Page { session } => demo::page(env, &SessionId::parse(&session)?).await,
        Route::Models => answer::json(200, &crate::models::menu(env).await?),
        Route::Socket { session } => demo::socket(request, env, &session).await,
        Route::AgentMessage => agent::message(request, env).await,
        Route::AgentState { session } => agent::state(env, &SessionId::parse(&session)?).await,
        Route::Events { session } => {
            events::events(&request, &url, env, &SessionId::parse(&session)?).await
        }
        Route::Permission {
            session,
            request: id,
        } => permissions::answer(request, env, &SessionId::parse(&session)?, &id).await,
        Route::ClaudeCode => claude_code::run(request, env, request_id).await,
        Route::ClaudeCodeDebug => claude_code::debug(&url, env).await,
        Route::Health | Route::Asset | Route::FromSandbox { .. } => {
            Err(internal("routes", &"answered above"))
        }
    }
}

fn method_not_allowed(methods: &[Method]) -> Answer {
    let allowed = methods
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let problem = Problem::new(
        ProblemKind::MethodNotAllowed,
        format!("this path takes {allowed}"),
    );
    let open = |response: Response| {
        let mut response = response;
        response.headers_mut().set("allow", &allowed)?;
        Ok(response)
    };
    answer::problem(&problem)
        .and_then(open)
        .map_err(|error| internal("allow", &error))
}

fn redirect(to: &str) -> Answer {
    Response::builder()
        .with_status(302)
        .with_header("location", to)
        .and_then(|builder| builder.with_header("cache-control", "no-store"))
        .map(worker::ResponseBuilder::empty)
        .map_err(|error| internal("redirect", &error))
}

/// The body of a request, up to `limit` bytes.
///
/// # Errors
/// 413 for a larger one.
async fn body(request: &mut Request, limit: usize) -> std::result::Result<Vec<u8>, Problem> {
    use futures_util::StreamExt;
    let too_large = || {
        Problem::new(
            ProblemKind::TooLarge,
            format!("the body is larger than {limit} bytes; put long material into a file"),
        )
    };
    let declared = request.headers().get("content-length").ok().flatten();
    if declared
        .and_then(|text| text.parse::<usize>().ok())
        .is_some_and(|bytes| bytes > limit)
    {
        return Err(too_large());
    }
    let Ok(mut stream) = request.stream() else {
        return Ok(Vec::new());
    };
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_request("the body was cut"))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_contract() {
        let session = || "s1".to_owned();
        for (path, route) in [
            ("/", Route::Root),
            ("/demo", Route::NewSession),
            ("/demo/", Route::NewSession),
            ("/demo/s1", Route::Page { session: session() }),
            ("/demo/health", Route::Health),
            ("/demo/models", Route::Models),
            ("/demo/ws/s1", Route::Socket { session: session() }),
            ("/agent/message", Route::AgentMessage),
            ("/agent/s1/state", Route::AgentState { session: session() }),
            (
                "/api/sessions/s1/events",
                Route::Events { session: session() },
            ),
            (
                "/api/sessions/s1/permissions/ask-1",
                Route::Permission {
                    session: session(),
                    request: "ask-1".to_owned(),
                },
            ),
            ("/claude-code", Route::ClaudeCode),
            ("/claude-code/debug", Route::ClaudeCodeDebug),
            ("/assets/index-abc.js", Route::Asset),
            (
                "/sandbox/s1/v1/messages/count_tokens",
                Route::FromSandbox {
                    session: session(),
                    path: "/v1/messages/count_tokens".to_owned(),
                },
            ),
        ] {
            assert_eq!(
                Route::of(path).map(|(route, _)| route),
                Some(route),
                "{path}"
            );
        }
        for path in [
            "",
            "/nothing",
            "/demo/s1/more",
            "/demo/ws",
            "/demo/ws/s1/x",
            "/agent",
            "/claude-code/",
            "//demo",
        ] {
            assert!(
                !matches!(
                    Route::of(path),
                    Some((
                        Route::Root | Route::NewSession | Route::AgentMessage | Route::ClaudeCode,
                        _
                    ))
                ),
                "{path}"
            );
        }
        assert_eq!(Route::of("/nothing"), None);
        assert_eq!(Route::of("/api/sessions/s1/permissions"), None);
        assert_eq!(Route::of("/demo/s1/more"), None);
    }
}
