//! Launching agents.

use std::io::Read;
use std::path::Path;

use protocol::SessionId;
use serde_json::{Map, Value, json};

use crate::api::{self, Api};
use crate::cli::Launch;
use crate::conversation;
use crate::failure::Failure;
use crate::out::{Out, text};

/// Bytes of a file or of stdin that is read whole.
const MAX_TEXT: u64 = 2 * 1024 * 1024;

/// Begins a session with an agent, and says the prompt, if there is one.
pub async fn launch(api: &Api, out: Out, given: &Launch) -> Result<(), Failure> {
    let mut body = Map::new();
    let config = match (&given.preset, &given.file, &given.model) {
        (_, Some(file), _) => Some(configuration(file)?),
        // A launch takes an agent's id, or all of an agent: with another model it is another agent.
        (Some(preset), None, Some(_)) => {
            let path = format!("/api/configs/{}", api::encoded(preset));
            Some(api.document(api.get(&path)).await?)
        }
        (preset, None, _) => {
            body.insert("config_id".to_owned(), json!(preset));
            None
        }
    };
    if let Some(config) = config {
        let config = with_model(config, given.model.as_deref());
        body.insert("config".to_owned(), config);
    }
    if let Some(session) = &given.workspace_from {
        body.insert("workspace_from".to_owned(), json!(session));
    }
    let env = |name: &str| std::env::var(name).ok();
    if !given.mcp_env.is_empty() {
        body.insert("mcp_env".to_owned(), secrets(&given.mcp_env, env)?);
    }
    if let Some(name) = &given.provider_key_env {
        let key = env(name).filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Failure::Usage(format!("{name} is not set")))?;
        body.insert("api_key".to_owned(), json!(key));
    }
    if let Some(provider) = &given.provider {
        body.insert("provider".to_owned(), json!(provider));
    }
    // Read before anything is launched.
    let prompt = given
        .prompt
        .as_deref()
        .map(conversation::said)
        .transpose()?;
    let launched: Value = api
        .document(api.post("/api/agents/launch").json(&body))
        .await?;
    let id = text(&launched, "session_id");
    let session = SessionId::parse(&id).map_err(|_| api.unreachable("it names no session"))?;
    if !out.json {
        let warnings = launched.get("warnings").and_then(Value::as_array);
        for warning in warnings.into_iter().flatten().filter_map(Value::as_str) {
            out.say(&format!("warning: {warning}"));
        }
    }
    let Some(prompt) = prompt else {
        return out.done(&launched, &id);
    };
    match (out.json, given.no_wait) {
        (true, _) => out.json(&launched)?,
        (false, true) => out.line(&id)?,
        (false, false) => out.say(&format!("session {id}")),
    }
    let message = conversation::Message::new(session, prompt, None)?;
    match given.no_wait {
        true => conversation::leave(api, &message).await,
        false => conversation::turn(api, out, message, given.asks.permissions).await,
    }
}

/// An agent's configuration out of a file, YAML or JSON. What it holds, the server checks.
fn configuration(file: &Path) -> Result<Value, Failure> {
    let text = read(file)?;
    let document = yaml::read::<Value>(&text)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    match document.value {
        Value::Object(_) => Ok(document.value),
        _ => Err(Failure::Usage(format!(
            "{}: an agent is a mapping with id, name and what else it has",
            file.display()
        ))),
    }
}

/// An agent, answered by this model, where one is wanted.
fn with_model(mut config: Value, model: Option<&str>) -> Value {
    if let (Some(model), Some(members)) = (model, config.as_object_mut()) {
        members.insert("model".to_owned(), json!(model));
    }
    config
}

/// A text out of a file, `-` for stdin.
///
/// # Errors
/// Where it can't be read, is too long, or no UTF-8.
pub fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::here(file.display(), error);
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin()
            .take(MAX_TEXT + 1)
            .read_to_string(&mut text),
        false => std::fs::File::open(file)
            .and_then(|file| file.take(MAX_TEXT + 1).read_to_string(&mut text)),
    };
    if read.map_err(failed)? as u64 > MAX_TEXT {
        return Err(Failure::Usage(format!(
            "{} has more than {MAX_TEXT} bytes",
            file.display()
        )));
    }
    Ok(text)
}

/// `NAME=VALUE`, or `NAME` for what the environment has.
fn secrets(given: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Value, Failure> {
    let mut secrets = Map::new();
    for one in given {
        let (name, value) = match one.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let missing = || Failure::Usage(format!("{one} is not set in the environment"));
                (one.as_str(), env(one).ok_or_else(missing)?)
            }
        };
        secrets.insert(name.to_owned(), json!(value));
    }
    Ok(Value::Object(secrets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_the_line_or_the_environment() {
        let env = |name: &str| (name == "HERE").then(|| "from env".to_owned());
        let given = ["A=b=c".to_owned(), "HERE".to_owned(), "E=".to_owned()];
        let told = secrets(&given, env).unwrap();
        assert_eq!(told, json!({ "A": "b=c", "HERE": "from env", "E": "" }));
        assert!(secrets(&["GONE".to_owned()], env).is_err());
    }

    #[test]
    fn a_model_takes_the_place_of_the_agents_own() {
        let own = json!({ "id": "a", "model": "local/one" });
        assert_eq!(with_model(own.clone(), None), own);
        let other = json!({ "id": "a", "model": "local/other" });
        assert_eq!(with_model(own, Some("local/other")), other);
        assert_eq!(with_model(json!({ "id": "a" }), Some("local/other")), other);
    }

    #[test]
    fn a_configuration_is_read_from_yaml_and_json() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.yaml");
        for (text, good) in [
            (
                "id: a\nname: A\nmax_turns: 3\nallowed_tools: [Read]\n",
                true,
            ),
            (
                r#"{"id":"a","name":"A","max_turns":3,"allowed_tools":["Read"]}"#,
                true,
            ),
            ("- a\n", false),
            ("id: [\n", false),
        ] {
            std::fs::write(&file, text).unwrap();
            let read = configuration(&file);
            if good {
                let wanted =
                    json!({ "id": "a", "name": "A", "max_turns": 3, "allowed_tools": ["Read"] });
                assert_eq!(read.unwrap(), wanted);
            } else {
                assert_eq!(read.unwrap_err().exit_code(), 2, "{text}");
            }
        }
    }
}
