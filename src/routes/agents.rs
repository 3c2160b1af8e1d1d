//! `/api/agents`: agents that are launched, the sessions that they run in, and what is said to them.

use access::{ApiKey, Caller, Origin, Principal, Right, Scopes};
use agents::{AgentConfig, Checked};
use protocol::client::message_id;
use protocol::{ClaudeCodeOptions, Problem, ProblemKind, SessionId, TurnId};
use serde_json::{Map, Value, json};
use worker::{Env, Request, Url};

use super::events::seq;
use crate::account::{self, Search};
use crate::admission::Admission;
use crate::answer::{self, Answer, SSE, internal};
use crate::container;
use crate::session::{self, Events, Form, Launch, Say, Span, Visit};

/// Bytes of a launch: a configuration, and room for secrets.
const MAX_LAUNCH: usize = 1024 * 1024;

/// Bytes of a key for a provider of models.
const MAX_KEY: usize = 1000;

/// Sessions of a page, where the request does not say, and at most.
const PAGE: u64 = 100;
const MAX_PAGE: u64 = 1000;

/// Begins a session with an agent. Who shows nothing else is known by the key for a provider of models
/// that comes in the body, where this deployment takes such.
pub async fn launch(
    mut request: Request,
    env: &Env,
    admission: &Admission<'_>,
    caller: Option<Caller>,
    shows_nothing: bool,
    origin: Origin,
) -> Answer {
    let body = super::body(&mut request, MAX_LAUNCH).await?;
    let mut wish = object(&body)?;
    let key = text_of(&mut wish, "api_key")?.filter(|key| !key.is_empty());
    // Who shows a key in the body alone shows the same with what comes after.
    let by_key = shows_nothing && (caller.is_none() || admission.takes_own_keys());
    let (caller, model_key) = match (caller, key) {
        (_, Some(key)) if by_key => {
            let launcher = admission.launcher(&key, origin).await;
            let (caller, is_own) = launcher.map_err(|problem| problem.at("api_key"))?;
            (caller, is_own.then_some(key))
        }
        (Some(caller), key) => (caller, key.filter(|key| !ApiKey::looks_like(key))),
        (None, _) => {
            return Err(Problem::new(
                ProblemKind::Unauthenticated,
                "send a key as Authorization: Bearer, or as api_key",
            ));
        }
    };
    if model_key
        .as_ref()
        .is_some_and(|key| key.len() > MAX_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(
            Problem::bad_request("api_key is no key of a provider of models").at("api_key"),
        );
    }
    let principal = super::known(&caller)?;
    principal.may(Scopes::LAUNCH)?;
    let Checked {
        config,
        mut warnings,
    } = configuration(env, principal, &mut wish).await?;
    let provider = provider(env, &mut wish)?;
    warnings.extend(config.out_of_reach());
    let limits = config.resource_limits.limits()?;
    warnings.extend(container::warnings(env, &provider, &limits));
    let credentials = config.credentials(wish.get("mcp_env"))?;
    let workspace_from = text_of(&mut wish, "workspace_from")?
        .map(|id| SessionId::parse(&id).map_err(|problem| problem.at("workspace_from")))
        .transpose()?;
    wish.remove("mcp_env");
    warnings.extend(wish.keys().map(|name| match name.as_str() {
        "model" => {
            "model: a launch has no such field; the configuration names the model".to_owned()
        }
        name => format!("{name}: a launch has no such field, and it has no effect"),
    }));
    let config_id = config.id.clone();
    let launch = Launch {
        config,
        credentials,
        model_key,
        parent: None,
        provider: Some(provider.clone()),
    };
    let id = fresh_id()?;
    begin(env, &caller, &id, launch, workspace_from).await?;
    let told = json!({
        "session_id": id,
        "agent_id": id,
        "config_id": config_id,
        "status": "running",
        "provider": provider,
        "message": "The agent is launched; send it messages at /api/agents/{session_id}/chat",
        "warnings": warnings,
    });
    answer::json(200, &told)
}

/// Begins a session with an agent, for who may, under an id that is new; with the workspace of another one,
/// where that is wanted.
///
/// # Errors
/// 400 for a model that nobody serves, and why the session does not begin.
pub async fn begin(
    env: &Env,
    caller: &Caller,
    id: &SessionId,
    mut launch: Launch,
    workspace_from: Option<SessionId>,
) -> Result<(), Problem> {
    match (&launch.config.model, &launch.model_key) {
        (Some(model), None) => crate::models::check(env, model).await?,
        (None, Some(key)) => {
            launch.config.model = crate::models::model_of_key(key).map(str::to_owned);
        }
        _ => {}
    }
    let everywhere = || container::default_provider(env);
    launch.provider.get_or_insert_with(everywhere);
    let visit = Visit {
        caller: caller.clone(),
        right: Right::Write,
        launches: true,
    };
    let Some(from) = workspace_from else {
        return session::launch(env, id, &visit, &launch).await;
    };
    let of_its_own = Visit {
        launches: false,
        ..visit.clone()
    };
    let save = async {
        session::may(env, &from, &of_its_own).await?;
        container::of(env, &from)?.newest_save().await
    };
    let save = save.await.map_err(|problem| problem.at("workspace_from"))?;
    // Before its sandbox starts, which begins with what is saved.
    let sandbox = container::of(env, id)?;
    sandbox.copy_saves(&from, save).await?;
    if let Err(problem) = session::launch(env, id, &visit, &launch).await {
        if let Err(left) = sandbox.delete().await {
            internal("launch", &left.detail);
        }
        return Err(problem);
    }
    Ok(())
}

/// An id that no session has.
///
/// # Errors
/// Where the platform has no randomness.
pub fn fresh_id() -> Result<SessionId, Problem> {
    let bytes = crate::random::bytes().map_err(|error| internal("random", &error))?;
    Ok(SessionId::from_random(bytes))
}

/// The configuration that a launch names, or has with it.
async fn configuration(
    env: &Env,
    principal: &Principal,
    wish: &mut Map<String, Value>,
) -> Result<Checked, Problem> {
    let id = text_of(wish, "config_id")?;
    let config = wish.remove("config").filter(|config| !config.is_null());
    match (id, config) {
        (Some(id), None) => Ok(Checked {
            config: super::configs::find(env, principal, &id)
                .await
                .map_err(|problem| problem.at("config_id"))?,
            warnings: Vec::new(),
        }),
        (None, Some(config)) => AgentConfig::from_value(config).map_err(|problem| {
            let field = problem.field.clone();
            let field = field.map_or("config".to_owned(), |field| format!("config.{field}"));
            problem.at(field)
        }),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("send config_id or config, not both").at("config"))
        }
        (None, None) => Err(Problem::bad_request(
            "a launch needs config_id, such as code-assistant, or a whole config",
        )
        .at("config_id")),
    }
}

/// The place that a launch asks for, or else the deployment's.
fn provider(env: &Env, wish: &mut Map<String, Value>) -> Result<String, Problem> {
    let Some(wanted) = text_of(wish, "provider")? else {
        return Ok(container::default_provider(env));
    };
    let here = container::offered(env);
    if here.contains(&wanted.as_str()) {
        return Ok(wanted);
    }
    let words = format!(
        "this deployment runs no sandboxes with that; provider may be {}, or left out",
        here.join(" or ")
    );
    Err(Problem::bad_request(words).at("provider"))
}

/// The places that a launch may ask for, and what of an agent's limits each enforces.
pub fn providers(env: &Env) -> Answer {
    let default = container::default_provider(env);
    let here = container::offered(env);
    let told = here.iter().map(|name| {
        json!({ "name": name, "default": *name == default, "enforces": container::enforced(name) })
    });
    let told: Vec<Value> = told.collect();
    answer::json(
        200,
        &json!({ "total": told.len(), "providers": told, "default": default }),
    )
}

/// What sandboxes there are; those that no session has are removed, if that is wanted.
pub async fn sandboxes(env: &Env, remove: bool) -> Answer {
    let (found, more) = container::inventory::look(env, remove).await?;
    answer::json(
        200,
        &json!({ "total": found.len(), "left_off": more, "sandboxes": found }),
    )
}

/// The caller's own sessions.
pub async fn sessions(url: &Url, env: &Env, principal: &Principal) -> Answer {
    let mut search = Search {
        limit: PAGE,
        ..Search::default()
    };
    for (name, value) in url.query_pairs() {
        let number = |most: u64| {
            let number = value.parse().ok().filter(|number| *number <= most);
            number.ok_or_else(|| {
                Problem::bad_request(format!("{name} must be a number up to {most}"))
                    .at(name.clone())
            })
        };
        match &*name {
            "q" => search.search = value.chars().take(200).collect(),
            "status" if session::STATUSES.contains(&&*value) => search.status = value.into_owned(),
            "status" => {
                let words = format!("status must be one of {}", session::STATUSES.join(", "));
                return Err(Problem::bad_request(words).at("status"));
            }
            "limit" => search.limit = number(MAX_PAGE)?,
            "offset" => search.offset = number(u64::from(u32::MAX))?,
            _ => {}
        }
    }
    let page = account::sessions(env, &principal.owner, &search).await?;
    answer::json(200, &page)
}

/// Bytes of what a fork is asked for with.
const MAX_FORK: usize = 8 * 1024;

/// Begins a session that goes on from a turn of another: `{"turn": 3}`, or the last that has ended.
pub async fn fork(mut request: Request, env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    let body = super::body(&mut request, MAX_FORK).await?;
    let mut wish = match body.is_empty() {
        true => Map::new(),
        false => object(&body)?,
    };
    let turn = match wish.remove("turn") {
        None | Some(Value::Null) => None,
        Some(Value::String(turn)) => Some(
            turn.parse()
                .map_err(|problem: Problem| problem.at("turn"))?,
        ),
        Some(turn) => Some(TurnId(turn.as_u64().ok_or_else(|| {
            Problem::bad_request("turn must be a number, or such as turn-3").at("turn")
        })?)),
    };
    let fork = session::fork(env, id, visit, turn).await?;
    answer::json(201, &json!({ "session_id": fork, "forked_from": id }))
}

/// Stops a session, and keeps its log and files.
pub async fn stop(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    let status: Value = answer::told(session::stop(env, id, visit).await?).await?;
    answer::json(
        200,
        &json!({ "status": status, "session_id": id, "message": "The session was stopped; its log and files are kept" }),
    )
}

/// Stops a session, and deletes it for good.
pub async fn remove(env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    answer::done(session::delete(env, id, visit).await?).await?;
    answer::json(
        200,
        &json!({ "status": "success", "session_id": id, "message": "The session was stopped and removed" }),
    )
}

/// Says something to an agent, and answers with its turn. The session is the path's, or stands in the
/// body, or in a header.
pub async fn chat(mut request: Request, env: &Env, visit: &Visit, id: Option<SessionId>) -> Answer {
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let accept = header("accept").unwrap_or_default();
    let named = header("x-session-id");
    let key = header("idempotency-key");
    let after = header("last-event-id").filter(|id| !id.is_empty());
    let after = after.map_or(Ok(0), |id| seq("Last-Event-ID", &id))?;
    let body = super::body(&mut request, protocol::options::MAX_BODY).await?;
    let mut said = object(&body)?;
    let id = match id {
        Some(id) => id,
        None => {
            let named = text_of(&mut said, "sessionId")?
                .or(text_of(&mut said, "session_id")?)
                .or(named);
            let missing = || {
                let words = "which session? send sessionId in the body, or X-Session-ID";
                Problem::bad_request(words).at("sessionId")
            };
            SessionId::parse(&named.ok_or_else(missing)?)?
        }
    };
    // A client that sends a message again says that it is the same.
    let message = said
        .remove("id")
        .filter(Value::is_string)
        .or(key.map(Value::String));
    let prompt = words_of(&mut said)?;
    let mut options = ClaudeCodeOptions::default();
    options.prompt = Some(prompt);
    let say = Say {
        session_id: id,
        id: message_id(message)?,
        turn: options.into_turn()?,
        form: if accept.contains(SSE) {
            Form::ChatSse
        } else {
            Form::Chat
        },
        after,
    };
    session::say(env, visit, &say).await
}

/// What the tools of a session do, from now on, or from where the client was.
pub async fn tools(request: &Request, env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    let last = request.headers().get("last-event-id").ok().flatten();
    let span = match last.filter(|id| !id.is_empty()) {
        Some(id) => Span::After {
            from: seq("Last-Event-ID", &id)?,
            follow: true,
        },
        None => Span::ToCome,
    };
    let wanted = Events {
        span,
        form: Form::ToolsSse,
    };
    session::events(env, id, visit, &wanted).await
}

/// A body that is a JSON object.
fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::bad_request("the body must be a JSON object")),
        Err(error) => Err(Problem::bad_request(format!("not valid JSON: {error}"))),
    }
}

/// A member that is a text, taken out.
fn text_of(object: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Problem> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Problem::bad_request(format!("{name} must be a text")).at(name)),
    }
}

/// What a person says: `message`, `prompt`, or the last of `messages`, which clients send with all that was
/// said before. The session has that itself.
fn words_of(said: &mut Map<String, Value>) -> Result<String, Problem> {
    for name in ["message", "prompt"] {
        if let Some(message) = text_of(said, name)? {
            return Ok(message);
        }
    }
    let wrong = |words: &str| Problem::bad_request(words).at("messages");
    let messages = match said.remove("messages") {
        None | Some(Value::Null) => {
            return Err(
                Problem::bad_request("what do you want to say? send message, with a text")
                    .at("message"),
            );
        }
        Some(Value::Array(messages)) => messages,
        Some(_) => return Err(wrong("messages must be a list of {role, content}")),
    };
    let last = messages
        .iter()
        .rev()
        .find(|message| message.get("role").and_then(Value::as_str) == Some("user"))
        .ok_or_else(|| wrong("messages has none of the role user"))?;
    let content = last.get("content").or(last.get("parts"));
    match content {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            Ok(texts.collect::<Vec<_>>().join("\n\n"))
        }
        _ => Err(wrong("the last message has no content that is a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(body: Value) -> Result<String, Problem> {
        words_of(&mut object(body.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn what_is_said_is_found_in_either_form() {
        for (body, said) in [
            (json!({ "message": "hi" }), "hi"),
            (json!({ "prompt": "hi" }), "hi"),
            (
                json!({ "messages": [{ "role": "user", "content": "hi" }] }),
                "hi",
            ),
            (
                json!({ "messages": [
                    { "role": "user", "content": "before" },
                    { "role": "assistant", "content": "yes" },
                    { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
                ] }),
                "a\n\nb",
            ),
            (
                json!({ "messages": [{ "role": "user", "parts": [{ "type": "text", "text": "hi" }] }] }),
                "hi",
            ),
        ] {
            assert_eq!(words(body).unwrap(), said);
        }
        for (body, field) in [
            (json!({}), "message"),
            (json!({ "message": 1 }), "message"),
            (json!({ "messages": "hi" }), "messages"),
            (json!({ "messages": [] }), "messages"),
            (
                json!({ "messages": [{ "role": "assistant", "content": "x" }] }),
                "messages",
            ),
            (
                json!({ "messages": [{ "role": "user", "content": 3 }] }),
                "messages",
            ),
        ] {
            assert_eq!(words(body).unwrap_err().field.as_deref(), Some(field));
        }
    }
}
