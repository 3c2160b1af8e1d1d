//! API keys of a deployment: a client of `/api/keys`.
//!
//! The token that opens it comes from the environment or an argument, goes into one header, and is
//! printed nowhere. A new key is printed alone on a line of standard output, for a pipe.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

#[derive(Args)]
pub struct Keys {
    /// The deployment, such as https://agents.example.com
    #[arg(
        long,
        env = "AGENT_ROUTER_URL",
        default_value = "http://127.0.0.1:8787",
        global = true
    )]
    url: String,
    /// The operator's token, or a key with the scope admin; better in the environment, where other
    /// processes don't see it
    #[arg(
        long,
        env = "AGENT_ROUTER_TOKEN",
        hide_env_values = true,
        global = true
    )]
    token: Option<String>,
    /// Whose keys; others than one's own need the operator's token
    #[arg(long, global = true)]
    owner: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key; it is shown once
    Create {
        /// What it is for
        #[arg(long, default_value = "")]
        name: String,
        /// What it may: read, write, launch, admin
        #[arg(long, value_delimiter = ',', default_value = "read,write,launch")]
        scopes: Vec<String>,
        /// After so many days it ends; without, it holds until it is revoked
        #[arg(long)]
        days: Option<u64>,
    },
    /// List the keys that hold
    List,
    /// Revoke a key, at once
    Revoke {
        /// The key's id, as list shows it
        id: String,
    },
}

/// # Errors
/// What the deployment refuses, in its own words.
pub async fn run(keys: Keys) -> Result<()> {
    let client = reqwest::Client::new();
    let owner = keys.owner.as_deref();
    let ask = |method: Method, path: &str| {
        let url = format!("{}/api/keys{path}", keys.url.trim_end_matches('/'));
        let request = client.request(method, url);
        match &keys.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    let of_owner = |request: RequestBuilder| match owner {
        Some(owner) => request.query(&[("owner", owner)]),
        None => request,
    };
    match &keys.what {
        What::Create { name, scopes, days } => {
            let seconds = days.map(|days| days.saturating_mul(24 * 60 * 60));
            let wish =
                json!({ "name": name, "scopes": scopes, "expires_in": seconds, "owner": owner });
            let made = answered(ask(Method::POST, "").json(&wish)).await?;
            eprintln!(
                "key {} of {}; it is shown once:",
                text(&made, "id"),
                text(&made, "owner")
            );
            println!("{}", text(&made, "key"));
        }
        What::List => {
            let listed = answered(of_owner(ask(Method::GET, ""))).await?;
            let keys = listed.get("keys").and_then(Value::as_array);
            for key in keys.into_iter().flatten() {
                println!("{}", line(key));
            }
        }
        What::Revoke { id } => {
            if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                bail!("a key's id is 16 hexadecimal digits, the third part of the key");
            }
            answered(of_owner(ask(Method::DELETE, &format!("/{id}")))).await?;
            eprintln!("{id} is revoked");
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn line(key: &Value) -> String {
    let scopes = key.get("scopes").and_then(Value::as_array);
    let scopes = scopes.into_iter().flatten().filter_map(Value::as_str);
    let scopes: Vec<_> = scopes.collect();
    let end = match text(key, "expires_at") {
        "" => "until revoked",
        end => end,
    };
    format!(
        "{}  {}  {end}  {}  {}",
        text(key, "id"),
        text(key, "created_at"),
        scopes.join(","),
        text(key, "name")
    )
}

async fn answered(request: RequestBuilder) -> Result<Value> {
    let answer = request
        .send()
        .await
        .context("the deployment can't be reached")?;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    match body.get("detail").and_then(Value::as_str) {
        Some(detail) => bail!("{detail} ({status})"),
        None => bail!("the deployment answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_line() {
        let key = json!({ "id": "0123456789abcdef", "name": "ci", "scopes": ["read", "write"],
            "created_at": "2026-11-21T14:00:00.000Z", "expires_at": null });
        assert_eq!(
            line(&key),
            "0123456789abcdef  2026-11-21T14:00:00.000Z  until revoked  read,write  ci"
        );
    }
}
