//! Agents that can be launched, the models, and where sandboxes may run.

use reqwest::Method;
use serde_json::Value;

use crate::api::{self, Api};
use crate::cli::Configs;
use crate::failure::Failure;
use crate::out::{Out, text, texts};

const HEADS: [&str; 4] = ["ID", "NAME", "WANTS", "DESCRIPTION"];

fn row(config: &Value) -> Vec<String> {
    let wanted = config.get("mcp_env").and_then(Value::as_array);
    let wanted: Vec<&str> = wanted
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let [id, name, description] = ["id", "name", "description"].map(|name| text(config, name));
    vec![id, name, wanted.join(","), description]
}

async fn listed(api: &Api, out: Out, path: &str) -> Result<(), Failure> {
    let told: Value = api.document(api.get(path)).await?;
    let configs = told.get("configs").and_then(Value::as_array);
    out.list(&configs.cloned().unwrap_or_default(), &HEADS, row)
}

pub async fn presets(api: &Api, out: Out) -> Result<(), Failure> {
    listed(api, out, "/api/configs/").await
}

pub async fn run(api: &Api, out: Out, given: &Configs) -> Result<(), Failure> {
    match given {
        Configs::Ls => listed(api, out, "/api/configs/custom/list").await,
        Configs::Get { id } => {
            let path = format!("/api/configs/{}", api::encoded(id));
            whole(out, &api.document(api.get(&path)).await?)
        }
        Configs::Schema => whole(
            out,
            &api.document(api.get("/api/configs/schema.json")).await?,
        ),
        Configs::Put { file, replace } => {
            let body = crate::launch::read(file)?;
            let request = match replace {
                Some(id) => {
                    let path = format!("/api/configs/custom/{}", api::encoded(id));
                    api.ask(Method::PUT, &path)
                }
                None => api.post("/api/configs/custom"),
            };
            let told: Value = api.document(request.body(body)).await?;
            let warnings = told.get("warnings").and_then(Value::as_array);
            for warning in warnings.into_iter().flatten().filter_map(Value::as_str) {
                out.say(&format!("warning: {warning}"));
            }
            out.done(&told, &text(&told, "config_id"))
        }
        Configs::Rm { id } => {
            let path = format!("/api/configs/custom/{}", api::encoded(id));
            let told: Value = api.document(api.ask(Method::DELETE, &path)).await?;
            out.done(&told, &format!("{id} is removed"))
        }
    }
}

/// A document that is for reading: over lines for people.
fn whole(out: Out, document: &Value) -> Result<(), Failure> {
    match out.json {
        true => out.json(document),
        false => out.json_pretty(document),
    }
}

pub async fn models(api: &Api, out: Out) -> Result<(), Failure> {
    let menu: Value = api.document(api.get("/demo/models")).await?;
    let default = text(&menu, "default");
    let models = menu.get("models").and_then(Value::as_array);
    let mut models = models.cloned().unwrap_or_default();
    for model in &mut models {
        let is_default = text(model, "id") == default;
        if let Some(members) = model.as_object_mut() {
            members.insert("default".to_owned(), is_default.into());
        }
    }
    let names = ["id", "available", "default", "name"];
    out.list(&models, &["MODEL", "AVAILABLE", "DEFAULT", "NAME"], |one| {
        texts(one, &names)
    })
}

/// Where sandboxes may run, each with the limits that it holds them to.
pub async fn providers(api: &Api, out: Out) -> Result<(), Failure> {
    let told: Value = api.document(api.get("/api/providers")).await?;
    let providers = told.get("providers").and_then(Value::as_array);
    let row = |one: &Value| {
        let enforced = one.get("enforces").and_then(Value::as_array);
        let enforced: Vec<&str> = enforced
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        vec![text(one, "name"), text(one, "default"), enforced.join(",")]
    };
    let heads = ["PROVIDER", "DEFAULT", "ENFORCES"];
    out.list(&providers.cloned().unwrap_or_default(), &heads, row)
}
