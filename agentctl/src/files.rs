//! A session's files. Bytes are streamed both ways; what is fetched appears whole, or not at all.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use protocol::SessionId;
use protocol::files::{Kind, Listing, MAX_FILE, Node};
use reqwest::{Body, Method, Response};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::api::{self, Api};
use crate::cli::Files;
use crate::failure::Failure;
use crate::harmless;
use crate::out::{Out, size};
use crate::render::To;

pub async fn run(api: &Api, out: Out, given: &Files) -> Result<(), Failure> {
    match given {
        Files::Ls {
            session,
            path,
            depth,
            ignored,
        } => list(api, out, session, path, *depth, *ignored).await,
        Files::Get {
            session,
            path,
            to,
            force,
        } => get(api, out, session, path, to.as_deref(), *force).await,
        Files::Put {
            session,
            file,
            path,
            force,
        } => put(api, out, session, file, path.as_deref(), *force).await,
        Files::Rm {
            session,
            path,
            recursive,
        } => {
            let address = address(session, path)?;
            let request = api.ask(Method::DELETE, &address);
            let request = request.query(&[("recursive", recursive)]);
            api.open(request).await?;
            out.done(&json!({ "path": path }), &format!("{path} is removed"))
        }
        Files::Mv {
            session,
            from,
            to,
            force,
        } => {
            let change = json!({ "action": "rename", "from": from, "to": to, "overwrite": force });
            changed(api, out, session, &change).await
        }
        Files::Mkdir { session, path } => {
            changed(
                api,
                out,
                session,
                &json!({ "action": "mkdir", "path": path }),
            )
            .await
        }
        Files::Zip {
            session,
            path,
            output,
            without_ignored,
            force,
        } => {
            let target = match output {
                Some(file) => Target::file(file, *force)?,
                None => Target::file(Path::new(&format!("{session}.zip")), *force)?,
            };
            let request = api
                .post(&format!("/api/files/{session}/download"))
                .query(&[("path", api::path(path).map(|_| path.as_str())?)])
                .query(&[("ignored", !without_ignored)]);
            let answer = api.open(request).await?;
            let download = Download::to(target, out)?;
            download.receive(api, answer).await?.told(out)
        }
    }
}

/// The address of a file.
fn address(session: &SessionId, path: &str) -> Result<String, Failure> {
    Ok(format!("/api/files/{session}/{}", api::path(path)?))
}

async fn changed(api: &Api, out: Out, session: &SessionId, change: &Value) -> Result<(), Failure> {
    let request = api.post(&format!("/api/files/{session}")).json(change);
    let told: Value = api.document(request).await?;
    out.done(&told, &crate::out::text(&told, "path"))
}

async fn list(
    api: &Api,
    out: Out,
    session: &SessionId,
    path: &str,
    depth: Option<u64>,
    ignored: bool,
) -> Result<(), Failure> {
    let inside = api::path(path)?;
    let address = match inside.is_empty() {
        true => format!("/api/files/{session}"),
        false => format!("/api/files/{session}/{inside}"),
    };
    let mut after: Option<String> = None;
    let mut folders = HashSet::new();
    loop {
        let mut request = api.get(&address).query(&[("ignored", ignored)]);
        if let Some(depth) = depth {
            request = request.query(&[("depth", depth)]);
        }
        if let Some(after) = &after {
            request = request.query(&[("after", after)]);
        }
        let page: Value = api.document(request).await?;
        let Ok(page) = serde_json::from_value::<Listing>(page) else {
            return Err(Failure::Usage(format!(
                "{path} is a file, not a folder; agentctl files get gets it"
            )));
        };
        let mut written = String::new();
        for node in page.tree.children.iter().flatten() {
            entries(node, &mut |node| {
                // A folder stands on each page that has something of it.
                if node.kind == Kind::Directory && !folders.insert(node.path.clone()) {
                    return;
                }
                written += &match out.json {
                    true => format!("{}\n", harmless::json(&flat(node).to_string())),
                    false => line(out, node),
                };
            });
        }
        out.write(To::Answer, &written)?;
        if page.truncated {
            out.say("there is more than is looked at; list a folder of it");
        }
        match page.next {
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            _ => return Ok(()),
        }
    }
}

/// An entry and those below it, in order.
fn entries(node: &Node, told: &mut impl FnMut(&Node)) {
    told(node);
    for child in node.children.iter().flatten() {
        entries(child, told);
    }
}

/// An entry without those below it.
fn flat(node: &Node) -> Value {
    let alone = Node {
        children: None,
        ..node.clone()
    };
    serde_json::to_value(alone).unwrap_or_default()
}

fn line(out: Out, node: &Node) -> String {
    let end = match node.kind {
        Kind::Directory => "/",
        _ => "",
    };
    let git = node
        .git
        .map_or(String::new(), |git| format!("{git:?}").to_lowercase());
    let modified = node.modified.as_deref().unwrap_or_default();
    let modified = modified.get(..16).unwrap_or(modified).replace('T', " ");
    let target = node
        .target
        .as_ref()
        .map_or(String::new(), |target| format!(" -> {target}"));
    let name = harmless::line(&format!("{}{end}{target}", node.path), 1000);
    let head = format!(
        "{:>9}  {:16}  {:10}",
        node.size.map(size).unwrap_or_default(),
        harmless::line(&modified, 16),
        git
    );
    format!("{}  {name}\n", out.style().dim(&head))
}

async fn get(
    api: &Api,
    out: Out,
    session: &SessionId,
    path: &str,
    to: Option<&Path>,
    force: bool,
) -> Result<(), Failure> {
    let address = address(session, path)?;
    let name = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let target = match to {
        None => Target::file(Path::new(name), force)?,
        Some(folder) if folder.is_dir() => Target::file(&folder.join(name), force)?,
        Some(file) => Target::file(file, force)?,
    };
    let request = api.get(&format!("{address}/download"));
    let answer = api.open(request).await.map_err(|failure| match failure {
        Failure::Told(mut problem, status) => {
            problem.detail = of_file(&problem.detail);
            Failure::Told(problem, status)
        }
        failure => failure,
    })?;
    let download = Download::to(target, out)?;
    download.receive(api, answer).await?.told(out)
}

/// What a server says of a file that it is asked to give. Where there is none, it takes the last part of the
/// address for a part of the file's path.
fn of_file(detail: &str) -> String {
    detail.replacen("/download\"", "\"", 1)
}

async fn put(
    api: &Api,
    out: Out,
    session: &SessionId,
    file: &Path,
    path: Option<&str>,
    force: bool,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::here(file.display(), error);
    let from_stdin = file.as_os_str() == "-";
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|_| !from_stdin);
    let path = match (path, name) {
        (Some(path), Some(name)) if path.is_empty() || path.ends_with('/') => {
            format!("{path}{name}")
        }
        (Some(path), _) if !path.is_empty() => path.to_owned(),
        (_, Some(name)) => name.to_owned(),
        _ => {
            return Err(Failure::Usage(
                "say the file's path in the workspace".to_owned(),
            ));
        }
    };
    let mut request = api.ask(Method::PUT, &address(session, &path)?);
    if !force {
        request = request.header("if-none-match", "*");
    }
    let body = if from_stdin {
        Body::wrap_stream(tokio_util::io::ReaderStream::new(tokio::io::stdin()))
    } else {
        let opened = tokio::fs::File::open(file).await.map_err(failed)?;
        let about = opened.metadata().await.map_err(failed)?;
        if about.is_dir() {
            return Err(Failure::Usage(format!(
                "{} is a folder; files are put one by one",
                file.display()
            )));
        }
        if about.len() > MAX_FILE {
            return Err(Failure::Usage(format!(
                "{} has {}, and a file may have {}",
                file.display(),
                size(about.len()),
                size(MAX_FILE)
            )));
        }
        if about.is_file() {
            request = request.header("content-length", about.len());
        }
        Body::wrap_stream(tokio_util::io::ReaderStream::new(opened))
    };
    let told: Value = api.document(request.body(body)).await?;
    let bytes = told
        .get("size_bytes")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    out.done(&told, &format!("{path}: {}", size(bytes)))
}

/// Where bytes go.
#[derive(Debug)]
pub enum Target {
    Stdout,
    File { path: PathBuf, replaces: bool },
}

impl Target {
    /// A file that is named, `-` for stdout.
    ///
    /// # Errors
    /// Where it is no file's name, or there is one that is not to be replaced.
    pub fn file(path: &Path, replaces: bool) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout);
        }
        if path.file_name().is_none() || path.is_dir() {
            return Err(Failure::Usage(format!(
                "{} is no file's name",
                path.display()
            )));
        }
        // A link is what is replaced then, not what it leads to.
        if !replaces && path.symlink_metadata().is_ok() {
            return Err(Failure::Here(format!(
                "{} is there already; --force replaces it",
                path.display()
            )));
        }
        Ok(Self::File {
            path: path.to_owned(),
            replaces,
        })
    }
}

/// Bytes that are fetched.
pub enum Download {
    Stdout {
        out: Out,
        text: Option<harmless::Pieces>,
    },
    File {
        file: NamedTempFile,
        path: PathBuf,
        replaces: bool,
    },
}

/// What was fetched.
pub struct Fetched {
    bytes: u64,
    path: Option<PathBuf>,
}

impl Fetched {
    fn told(&self, out: Out) -> Result<(), Failure> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let path = path.display().to_string();
        let words = format!("{path}: {}", size(self.bytes));
        out.done(&json!({ "file": path, "size_bytes": self.bytes }), &words)
    }
}

impl Download {
    /// # Errors
    /// Where no file can be made beside the one that is named.
    pub fn to(target: Target, out: Out) -> Result<Self, Failure> {
        Ok(match target {
            Target::Stdout => Self::Stdout {
                out,
                text: out.terminal.then(harmless::Pieces::default),
            },
            Target::File { path, replaces } => {
                let folder = path
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty());
                let folder = folder.unwrap_or(Path::new("."));
                let mut builder = tempfile::Builder::new();
                builder.prefix(".agentctl-").permissions(mode());
                let file = builder.tempfile_in(folder);
                let file = file.map_err(|error| Failure::here(folder.display(), error))?;
                Self::File {
                    file,
                    path,
                    replaces,
                }
            }
        })
    }

    /// Takes the bytes of an answer. A file appears under its name when it has all of them.
    ///
    /// # Errors
    /// Where the answer is cut, or they can't be written.
    pub async fn receive(mut self, api: &Api, mut answer: Response) -> Result<Fetched, Failure> {
        let mut bytes = 0;
        while let Some(chunk) = api.chunk(&mut answer).await? {
            bytes += chunk.len() as u64;
            match &mut self {
                Self::Stdout { out, text: None } => out.bytes(&chunk)?,
                Self::Stdout {
                    out,
                    text: Some(pieces),
                } => out.write(To::Answer, &pieces.text(&chunk))?,
                Self::File { file, path, .. } => file
                    .write_all(&chunk)
                    .map_err(|error| Failure::here(path.display(), error))?,
            }
        }
        let Self::File {
            file,
            path,
            replaces,
        } = self
        else {
            return Ok(Fetched { bytes, path: None });
        };
        let kept = match replaces {
            true => file.persist(&path),
            false => file.persist_noclobber(&path),
        };
        kept.map_err(|error| Failure::here(path.display(), error.error))?;
        Ok(Fetched {
            bytes,
            path: Some(path),
        })
    }
}

/// As any program makes a file: the user's mask takes away what is too much.
fn mode() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_the_file_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        std::fs::write(&there, "x").unwrap();
        let dangling = folder.path().join("link");
        std::os::unix::fs::symlink("/nowhere/at/all", &dangling).unwrap();
        for (path, force, good) in [
            (folder.path().join("new"), false, true),
            (there.clone(), false, false),
            (there, true, true),
            (dangling, false, false),
            (folder.path().to_owned(), true, false),
            (folder.path().join(".."), true, false),
            (PathBuf::from(""), true, false),
            (PathBuf::from("-"), false, true),
        ] {
            assert_eq!(
                Target::file(&path, force).is_ok(),
                good,
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn the_file_that_was_asked_for_is_named() {
        for (told, of) in [
            ("\"nope/download\" is not there", "\"nope\" is not there"),
            (
                "\"a/download/download\" is a folder",
                "\"a/download\" is a folder",
            ),
            ("there is no such session", "there is no such session"),
        ] {
            assert_eq!(of_file(told), of);
        }
    }

    #[test]
    fn an_entry_is_a_harmless_line() {
        let node: Node = serde_json::from_value(json!({
            "name": "x", "type": "symlink", "path": "a/\x1b]0;t\x07\nb", "size": 1500,
            "modified": "2026-11-21T14:05:00Z", "git": "untracked", "target": "\x1b[2J",
        }))
        .unwrap();
        assert_eq!(
            line(Out::new(true), &node),
            "   1.5 kB  2026-11-21 14:05  untracked   a/␛]0;t␇⏎b -> ␛[2J\n"
        );
    }
}
