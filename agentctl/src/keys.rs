//! API keys.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::api::{self, Api};
use crate::cli::Keys;
use crate::failure::Failure;
use crate::out::{Out, text};

fn of_owner(request: RequestBuilder, owner: Option<&str>) -> RequestBuilder {
    match owner {
        Some(owner) => request.query(&[("owner", owner)]),
        None => request,
    }
}

pub async fn run(api: &Api, out: Out, given: &Keys) -> Result<(), Failure> {
    match given {
        Keys::Ls { owner } => {
            let request = of_owner(api.get("/api/keys"), owner.as_deref());
            let told: Value = api.document(request).await?;
            let keys = told.get("keys").and_then(Value::as_array);
            out.list(
                &keys.cloned().unwrap_or_default(),
                &["ID", "SCOPES", "MADE", "ENDS", "NAME"],
                row,
            )
        }
        Keys::Create {
            name,
            scopes,
            days,
            owner,
        } => {
            let seconds = days.map(|days| days.saturating_mul(24 * 60 * 60));
            let wish =
                json!({ "name": name, "scopes": scopes, "expires_in": seconds, "owner": owner });
            let made: Value = api.document(api.post("/api/keys").json(&wish)).await?;
            if !out.json {
                let (id, owner) = (text(&made, "id"), text(&made, "owner"));
                out.say(&format!("key {id} of {owner}; it is shown once:"));
            }
            out.done(&made, &text(&made, "key"))
        }
        Keys::Revoke { id, owner } => {
            let path = format!("/api/keys/{}", api::encoded(id));
            let request = of_owner(api.ask(Method::DELETE, &path), owner.as_deref());
            api.open(request).await?;
            out.done(&json!({ "id": id }), &format!("{id} is revoked"))
        }
    }
}

fn row(key: &Value) -> Vec<String> {
    let scopes = key.get("scopes").and_then(Value::as_array);
    let scopes: Vec<&str> = scopes
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let ends = match text(key, "expires_at") {
        end if end.is_empty() => "when revoked".to_owned(),
        end => end,
    };
    vec![
        text(key, "id"),
        scopes.join(","),
        text(key, "created_at"),
        ends,
        text(key, "name"),
    ]
}
