//! Signing in and out, and the list of profiles.

use std::io::{IsTerminal, Read};
use std::path::Path;

use protocol::ProblemKind;
use serde_json::{Value, json};

use crate::api::Api;
use crate::cli::{Global, Login};
use crate::failure::Failure;
use crate::out::{Out, texts};
use crate::profile::{self, Profile, Profiles, Target};

/// Bytes of a key at most.
const MAX_TOKEN: u64 = 16 * 1024;

/// The key that the environment gives.
pub fn token_of_environment() -> Option<String> {
    let token = std::env::var("AGENTCTL_TOKEN").ok()?;
    let token = token.trim().to_owned();
    (!token.is_empty()).then_some(token)
}

/// Tries a key, and keeps it with the server's address.
pub async fn login(global: &Global, given: &Login, path: &Path, out: Out) -> Result<(), Failure> {
    let mut profiles = Profiles::load(path)?;
    let name = profiles.name(global);
    if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Failure::Usage("a profile's name is one word".to_owned()));
    }
    let kept = profiles
        .profiles
        .get(&name)
        .map(|profile| profile.server.clone());
    let Some(server) = global.server.clone().or(kept) else {
        return Err(Failure::Usage(
            "which server? agentctl login --server https://agents.example.com".to_owned(),
        ));
    };
    let server = profile::address(&server)?;
    let token = match (given.no_token, given.token_stdin) {
        (true, _) => None,
        (_, true) => Some(from_stdin()?),
        _ => match token_of_environment() {
            Some(token) => Some(token),
            None => Some(from_terminal(server.as_str())?),
        },
    };
    if token
        .as_ref()
        .is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(Failure::Usage(
            "a key is one word of plain characters".to_owned(),
        ));
    }
    let target = Target {
        server: server.clone(),
        token: token.clone(),
    };
    target.is_private(global.insecure)?;
    let api = Api::new(target)?;
    match api
        .document::<Value>(api.get("/api/agents/sessions?limit=1"))
        .await
    {
        Ok(_) => {}
        // It is known, and has not the scope to read.
        Err(Failure::Told(problem, _)) if problem.kind == ProblemKind::Forbidden => {
            out.say(&format!("note: {}", problem.detail));
        }
        Err(failure) => return Err(failure),
    }
    let profile = Profile {
        server: server.to_string(),
        token,
    };
    profiles.profiles.insert(name.clone(), profile);
    profiles.current = Some(name.clone());
    profiles.save(path)?;
    let document = json!({ "profile": name, "server": server.as_str() });
    out.done(
        &document,
        &format!("signed in at {server}, as profile {name}"),
    )
}

fn from_stdin() -> Result<String, Failure> {
    let mut token = String::new();
    std::io::stdin()
        .take(MAX_TOKEN)
        .read_to_string(&mut token)?;
    let token = token.trim().to_owned();
    match token.is_empty() {
        true => Err(Failure::Usage("there is no key on stdin".to_owned())),
        false => Ok(token),
    }
}

fn from_terminal(server: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "no key was given: send it with --token-stdin, set AGENTCTL_TOKEN, or say --no-token"
                .to_owned(),
        ));
    }
    let token = rpassword::prompt_password(format!("API key or operator's token for {server}: "))?;
    let token = token.trim().to_owned();
    match token.is_empty() {
        true => Err(Failure::Usage(
            "no key was given; --no-token is for a server that asks for none".to_owned(),
        )),
        false => Ok(token),
    }
}

/// Forgets a profile. The key stays what it is: `agentctl keys revoke` ends it.
pub fn logout(global: &Global, path: &Path, out: Out) -> Result<(), Failure> {
    let mut profiles = Profiles::load(path)?;
    let name = profiles.name(global);
    if profiles.profiles.remove(&name).is_none() {
        return Err(Failure::Usage(format!("there is no profile {name}")));
    }
    if profiles.current.as_ref() == Some(&name) {
        profiles.current = profiles.profiles.keys().next().cloned();
    }
    profiles.save(path)?;
    let words = format!("profile {name} is forgotten; its key holds until it is revoked");
    out.done(&json!({ "profile": name }), &words)
}

/// The profiles, without their keys.
pub fn list(global: &Global, path: &Path, out: Out) -> Result<(), Failure> {
    let profiles = Profiles::load(path)?;
    let used = profiles.name(global);
    let all: Vec<Value> = profiles
        .profiles
        .iter()
        .map(|(name, profile)| {
            json!({
                "profile": name,
                "server": profile.server,
                "has_key": profile.token.is_some(),
                "current": *name == used,
            })
        })
        .collect();
    let names = ["profile", "server", "has_key", "current"];
    out.list(&all, &["PROFILE", "SERVER", "KEY", "CURRENT"], |one| {
        texts(one, &names)
    })
}
