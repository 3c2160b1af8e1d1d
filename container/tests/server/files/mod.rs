//! The workspace's files over HTTP, on a server of the build.

mod listed;
mod outside;
mod packed;
mod read;
mod written;

use std::process::Command;

use protocol::files::{Listing, Node};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::world::World;

impl World {
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.workspace().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn content(&self, path: &str) -> String {
        std::fs::read_to_string(self.workspace().join(path)).unwrap()
    }

    async fn listing(&self, path: &str) -> Listing {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    async fn status(&self, method: Method, path: &str) -> StatusCode {
        self.ask(method, path).send().await.unwrap().status()
    }

    async fn put(&self, path: &str, content: &str) -> Response {
        let request = self.ask(Method::PUT, path).body(content.to_owned());
        request.send().await.unwrap()
    }

    async fn change(&self, change: Value) -> StatusCode {
        self.post("/files", &change).await.status()
    }

    async fn upload(&self, query: &str, files: &[(&str, &[u8])]) -> Response {
        let mut body = Vec::new();
        for (name, content) in files {
            let head = format!(
                "--B\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\
                 content-type: text/plain\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--B--\r\n");
        self.form(query, body).await
    }

    async fn form(&self, query: &str, body: Vec<u8>) -> Response {
        self.ask(Method::POST, &format!("/upload{query}"))
            .header("content-type", "multipart/form-data; boundary=B")
            .header("x-session-id", "the-session")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    /// What is in the workspace that nobody has put there.
    fn left_behind(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.workspace()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".part")).collect()
    }
}

fn names(node: &Node) -> Vec<&str> {
    let children = node.children.as_deref().unwrap_or_default();
    children.iter().map(|child| child.name.as_str()).collect()
}

fn all(node: &Node) -> Vec<String> {
    let mut paths = Vec::new();
    for child in node.children.as_deref().unwrap_or_default() {
        paths.push(child.path.clone());
        paths.extend(all(child));
    }
    paths
}

fn find<'a>(node: &'a Node, path: &str) -> &'a Node {
    let children = node.children.as_deref().unwrap_or_default();
    let child = children
        .iter()
        .find(|child| path == child.path || path.starts_with(&format!("{}/", child.path)))
        .unwrap_or_else(|| panic!("no {path} in {node:?}"));
    if child.path == path {
        child
    } else {
        find(child, path)
    }
}

fn git(world: &World, folder: &str, arguments: &[&str]) {
    let status = Command::new("git")
        .args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .current_dir(world.workspace().join(folder))
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
}
