//! `/api/configs`: the agents that come with this project, and those that somebody has made.

use access::{Caller, Principal};
use agents::{AgentConfig, Checked};
use protocol::{Problem, ProblemKind};
use serde_json::{Value, json};
use worker::{Env, Method, Request};

use crate::account::{self, Deed};
use crate::answer::{self, Answer};

/// Bytes of a configuration, with room for what is said around it.
const MAX_BODY: usize = 512 * 1024;

/// The JSON Schema of a configuration, made from the types.
const SCHEMA: &str = include_str!("../../agents/schema.json");

/// The agents that come with this project, each in a few words.
pub fn presets() -> Answer {
    let presets: Vec<Value> = agents::presets()?.iter().map(in_short).collect();
    answer::json(200, &json!({ "total": presets.len(), "configs": presets }))
}

/// Those that the caller has made.
pub async fn customs(env: &Env, principal: &Principal) -> Answer {
    let configs = account::configs(env, &principal.owner).await?;
    let configs: Vec<Value> = configs.iter().map(in_short).collect();
    answer::json(200, &json!({ "total": configs.len(), "configs": configs }))
}

fn in_short(config: &AgentConfig) -> Value {
    json!({
        "id": config.id,
        "name": config.name,
        "description": config.description,
        "version": config.version,
        "allowed_tools": config.allowed_tools,
        "has_mcp_servers": !config.mcp_servers.is_empty(),
        "has_sub_agents": !config.agents.is_empty(),
        "permission_mode": config.permission_mode,
        // What has to be given at the launch.
        "mcp_env": config.wanted(),
        "setting_sources": config.setting_sources,
    })
}

pub fn schema() -> Answer {
    answer::bytes(200, "application/schema+json", SCHEMA.as_bytes().to_vec())
}

/// A whole configuration.
pub async fn get(env: &Env, principal: &Principal, id: &str) -> Answer {
    answer::json(200, &find(env, principal, id).await?)
}

/// The configuration of an id: a preset's, or the caller's own.
///
/// # Errors
/// 404 where there is none.
pub async fn find(env: &Env, principal: &Principal, id: &str) -> Result<AgentConfig, Problem> {
    if let Some(preset) = agents::preset(id) {
        return Ok(preset.clone());
    }
    let own = account::config(env, &principal.owner, id).await?;
    own.ok_or_else(|| {
        Problem::new(
            ProblemKind::NotFound,
            "there is no such configuration; GET /api/configs/ lists those that come with this deployment",
        )
    })
}

/// Takes a new configuration of the caller's, JSON or YAML; with an `id` of the path, in the place of
/// the one that has it.
pub async fn put(
    mut request: Request,
    env: &Env,
    caller: &Caller,
    principal: &Principal,
    id: Option<&str>,
) -> Answer {
    let body = super::body(&mut request, MAX_BODY).await?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| Problem::bad_request("the body must be JSON or YAML in UTF-8"))?;
    let Checked { config, warnings } = AgentConfig::read(text)?;
    if agents::preset(&config.id).is_some() {
        return Err(Problem::new(
            ProblemKind::Conflict,
            format!(
                "{} comes with this deployment and can't be changed; choose another id",
                config.id
            ),
        )
        .at("id"));
    }
    if id.is_some_and(|id| id != config.id) {
        return Err(Problem::bad_request("id is another one than the path names").at("id"));
    }
    let what = match id {
        Some(_) => "update config",
        None => "create config",
    };
    let deed = Deed::by(principal, &caller.origin, what, &config.id);
    account::put_config(env, &principal.owner, &config, id.is_some(), &deed).await?;
    let told = json!({ "status": "success", "config_id": config.id, "warnings": warnings });
    answer::json(200, &told)
}

pub async fn delete(env: &Env, caller: &Caller, principal: &Principal, id: &str) -> Answer {
    let deed = Deed::by(principal, &caller.origin, "delete config", id);
    account::delete_config(env, &principal.owner, &deed).await?;
    answer::json(200, &json!({ "status": "success", "config_id": id }))
}

/// One of the caller's own, by the method of the request.
pub async fn custom(
    request: Request,
    env: &Env,
    caller: &Caller,
    principal: &Principal,
    id: &str,
) -> Answer {
    match request.method() {
        Method::Put => put(request, env, caller, principal, Some(id)).await,
        Method::Delete => delete(env, caller, principal, id).await,
        _ => {
            let own = account::config(env, &principal.owner, id).await?;
            let own = own.ok_or_else(|| {
                Problem::new(
                    ProblemKind::NotFound,
                    "there is no such configuration of yours",
                )
            })?;
            answer::json(200, &own)
        }
    }
}
