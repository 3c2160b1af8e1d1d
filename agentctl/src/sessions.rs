//! Sessions: found, looked at, stopped, removed, forked, exported.

use std::io::{IsTerminal, Write};

use protocol::SessionId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::cli::{Export, Fork, Format, Logs, Ls, Resources, Rm};
use crate::events::{Ends, Events, Lines};
use crate::failure::Failure;
use crate::files::{Download, Target};
use crate::out::{Out, size, text, texts};
use crate::render::{self, To};

/// Sessions that are asked for at once.
const PAGE: u64 = 200;

pub async fn list(api: &Api, out: Out, given: &Ls) -> Result<(), Failure> {
    let names = ["session_id", "status", "config_id", "last_active", "title"];
    let heads = ["SESSION", "STATUS", "AGENT", "LAST ACTIVE", "TITLE"];
    let (mut offset, mut shown) = (given.offset, 0);
    loop {
        let limit = if given.all { PAGE } else { given.limit };
        let mut request = api
            .get("/api/agents/sessions")
            .query(&[("limit", limit), ("offset", offset)]);
        if let Some(search) = &given.search {
            request = request.query(&[("q", search)]);
        }
        if let Some(status) = &given.status {
            request = request.query(&[("status", status)]);
        }
        let page: Value = api.document(request).await?;
        let sessions = page.get("sessions").and_then(Value::as_array);
        let sessions = sessions.cloned().unwrap_or_default();
        let total = page
            .get("total")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        out.list(&sessions, &heads, |one| texts(one, &names))?;
        let count = sessions.len() as u64;
        (offset, shown) = (offset + count, shown + count);
        if given.all && count > 0 && offset < total {
            continue;
        }
        if !out.json && total > shown {
            let more = match offset < total {
                true => format!("; more with --offset {offset}, or --all"),
                false => String::new(),
            };
            out.say(&format!("{shown} of {total}{more}"));
        }
        return Ok(());
    }
}

pub async fn show(api: &Api, out: Out, session: &SessionId) -> Result<(), Failure> {
    let about: Value = api
        .document(api.get(&format!("/api/agents/sessions/{session}")))
        .await?;
    if out.json {
        return out.json(&about);
    }
    let names = [
        "session_id",
        "title",
        "status",
        "config_id",
        "model",
        "permission_mode",
        "turns",
        "provider",
        "created_at",
        "last_active",
        "forked_from",
    ];
    let fields: Vec<_> = names
        .iter()
        .map(|name| (*name, text(&about, name)))
        .collect();
    out.fields(&fields)
}

pub async fn logs(api: &Api, out: Out, given: &Logs) -> Result<(), Failure> {
    let (session, follow) = (given.session.clone(), given.follow);
    let begin = match (given.tail, given.from) {
        (Some(events), _) => format!("tail={events}"),
        (None, from) => format!("from={}", from.unwrap_or_default()),
    };
    let after = match given.tail {
        Some(_) => None,
        None => Some(given.from.unwrap_or_default()),
    };
    let ask = move |api: &Api| {
        api.get(&format!(
            "/api/sessions/{session}/events?follow={follow}&{begin}"
        ))
    };
    let ends = if follow { Ends::Never } else { Ends::AtLast };
    let mut events = Events::open(api, Box::new(ask), ends, after).await?;
    let style = out.style();
    while let Some(told) = events.next().await? {
        if out.json {
            out.json_text(&told.json)?;
            continue;
        }
        let entry = match &told.event {
            Some(event) => render::entry(style, event),
            None => Some(render::unknown(style, told.seq, &told.value)),
        };
        out.write(To::Answer, &entry.unwrap_or_default())?;
    }
    Ok(())
}

pub async fn stop(api: &Api, out: Out, session: &SessionId) -> Result<(), Failure> {
    let path = format!("/api/agents/sessions/{session}/stop");
    let told: Value = api.document(api.post(&path)).await?;
    let status = told.get("status").and_then(Value::as_str);
    let words = match status {
        Some("stopped") => "it has ended; its log and files are kept",
        _ => "its turns and its sandbox are stopped",
    };
    out.done(&told, words)
}

pub async fn interrupt(api: &Api, out: Out, session: &SessionId) -> Result<(), Failure> {
    let path = format!("/api/agents/sessions/{session}/interrupt");
    let told: Value = api.document(api.post(&path)).await?;
    let ran = told.get("interrupted").and_then(Value::as_bool) == Some(true);
    let words = match ran {
        true => "its turn is interrupted",
        false => "nothing ran",
    };
    out.done(&told, words)
}

pub async fn remove(api: &Api, out: Out, given: &Rm) -> Result<(), Failure> {
    if !given.yes {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::Usage(
                "without a terminal nobody can be asked whether to delete for good: say -y"
                    .to_owned(),
            ));
        }
        let count = given.sessions.len();
        out.write(
            To::Aside,
            &format!("delete {count} session(s) for good, with log and files? y = yes: "),
        )?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        if !matches!(line.trim().to_lowercase().as_str(), "y" | "yes") {
            return Err(Failure::Here("nothing is deleted".to_owned()));
        }
    }
    for session in &given.sessions {
        let path = format!("/api/agents/sessions/{session}");
        let told: Value = api.document(api.ask(Method::DELETE, &path)).await?;
        out.done(&told, &format!("{session} is deleted"))?;
    }
    Ok(())
}

pub async fn fork(api: &Api, out: Out, given: &Fork) -> Result<(), Failure> {
    let path = format!("/api/sessions/{}/fork", given.session);
    let forked: Value = api
        .document(api.post(&path).json(&json!({ "turn": given.turn })))
        .await?;
    out.done(&forked, &text(&forked, "session_id"))
}

pub async fn export(api: &Api, out: Out, given: &Export) -> Result<(), Failure> {
    let format = match (given.format, out.json) {
        (Some(Format::Markdown), _) | (None, false) => "markdown",
        (Some(Format::Json), _) | (None, true) => "json",
    };
    let path = format!("/api/sessions/{}/export?format={format}", given.session);
    let target = match &given.output {
        Some(file) => Target::file(file, given.force)?,
        None => Target::Stdout,
    };
    let answer = api.open(api.get(&path)).await?;
    let download = Download::to(target, out)?;
    download.receive(api, answer).await.map(drop)
}

pub async fn resources(api: &Api, out: Out, given: &Resources) -> Result<(), Failure> {
    let path = format!("/api/resources/{}", given.session);
    if !given.watch {
        let used: Value = api.document(api.get(&path)).await?;
        return match out.json {
            true => out.json(&used),
            false => out.fields(&measured(&used)),
        };
    }
    let mut answer = api
        .open(api.get(&path).header("accept", "text/event-stream"))
        .await?;
    let mut lines = Lines::default();
    while let Some(chunk) = api.chunk(&mut answer).await? {
        for data in lines.push(&chunk).map_err(|why| api.unreachable(why))? {
            if out.json {
                out.json_text(&data)?;
                continue;
            }
            let used: Value = serde_json::from_str(&data).unwrap_or_default();
            let line: Vec<String> = measured(&used)
                .into_iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            out.line(&line.join("   "))?;
        }
    }
    std::io::stdout().flush()?;
    Ok(())
}

fn measured(used: &Value) -> Vec<(&'static str, String)> {
    let number = |place: &str| {
        used.pointer(place)
            .and_then(Value::as_f64)
            .unwrap_or_default()
    };
    let bytes = |place: &str| size(number(place) as u64);
    vec![
        ("status", text(used, "status")),
        (
            "cpu",
            format!("{} % of {}", number("/cpu/percent"), number("/cpu/count")),
        ),
        (
            "memory",
            format!(
                "{} of {}",
                bytes("/memory/used_bytes"),
                bytes("/memory/limit_bytes")
            ),
        ),
        (
            "disk",
            format!(
                "{} of {}",
                bytes("/disk/used_bytes"),
                bytes("/disk/total_bytes")
            ),
        ),
        ("processes", text(used, "processes")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured() {
        let used = json!({ "status": "running", "cpu": { "percent": 1.5, "count": 2.0 }, "processes": 4,
            "memory": { "used_bytes": 5_000_000, "limit_bytes": 1_000_000_000 },
            "disk": { "used_bytes": 1, "total_bytes": 2 } });
        let told: Vec<String> = measured(&used)
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(
            told.join(" | "),
            "running | 1.5 % of 2 | 5.0 MB of 1.0 GB | 1 B of 2 B | 4"
        );
    }
}
