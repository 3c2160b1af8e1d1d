//! A sandbox's files, passed through: bodies as untouched streams in both directions, and of the
//! headers those that are listed here.
//!
//! What the agent has written must not act in the Worker's name. So every answer has a policy under
//! which it can do nothing, what a browser would take for a program or a style is plain text, and what
//! could be more than a picture or a text is kept instead of shown.

use std::rc::Rc;

use protocol::files::{REQUEST_HEADERS, SESSION};
use protocol::{Problem, SessionId};
use worker::wasm_bindgen::JsValue;
use worker::{Headers, Method, Request, Response, ResponseBody, Result};

use super::{Endpoint, Object, Refusal, Sandbox, endpoint};
use crate::answer::{self, Answer, internal};

/// Nothing in it runs, loads, or is of the Worker's origin.
const POLICY: &str = "sandbox; default-src 'none'";

/// Bytes of a body that is kept until the sandbox has answered.
const KEPT: usize = 256 * 1024;

/// Bytes of a header of the sandbox's that are passed on.
const LONGEST: usize = 1024;

impl Sandbox {
    /// Passes a request on to the agent-server's part for files (`protocol::files`), which is started
    /// where it does not run.
    ///
    /// # Errors
    /// Why it can't be reached.
    pub async fn files(&self, request: &Request, path: &str) -> Answer {
        let failed = |error: worker::Error| internal("files", &error);
        let headers = request_headers(request, &self.id).map_err(failed)?;
        let body = request.inner().body().map(JsValue::from);
        let url = format!("http://container.internal/files{path}");
        let request = endpoint::request(&url, request.method(), headers, body).map_err(failed)?;
        self.send(request).await?.answer()
    }
}

impl Object {
    pub(super) async fn files(
        self: &Rc<Self>,
        id: &SessionId,
        request: &mut Request,
        path: &str,
    ) -> std::result::Result<Response, Refusal> {
        let failed = |error: worker::Error| internal("files", &error);
        self.keep_for_good().await?;
        let reads = matches!(request.method(), Method::Get | Method::Head);
        if reads
            && path.starts_with("/files")
            && let Some(answer) = self.from_save(id, request, path).await
        {
            return Ok(answer);
        }
        let body = match (reads, length(request)) {
            (true, _) => Body::None,
            (false, Some(length)) if length <= KEPT => Body::Kept(whole(request).await?),
            (false, _) => request
                .inner()
                .body()
                .map_or(Body::None, |body| Body::Stream(body.into())),
        };
        if let Body::Stream(_) = body {
            // A connection that was kept open may be dead; better it breaks under a question that can
            // be asked again than under a body that is gone then.
            let endpoint = self.endpoint(id, true, false).await?;
            if let Err(error) = is_there(&endpoint).await {
                drop(self.broke(&error));
            }
        }
        let request = &*request;
        let pass = async |body| {
            let endpoint = self.endpoint(id, true, false).await?;
            let headers = request_headers(request, id).map_err(failed)?;
            let passed = endpoint.pass(request.method(), path, headers, body).await;
            passed.map_err(|error| Refusal::from(self.broke(&error)))
        };
        let passed = match body {
            Body::Stream(body) => pass(Some(body)).await?,
            Body::None => match pass(None).await {
                Err(refusal) if !refusal.stopped => pass(None).await?,
                passed => passed?,
            },
            Body::Kept(bytes) => match pass(Some(endpoint::bytes(&bytes))).await {
                Err(refusal) if !refusal.stopped => pass(Some(endpoint::bytes(&bytes))).await?,
                passed => passed?,
            },
        };
        if !reads && passed.status_code() < 300 && !path.starts_with("/zip") {
            self.remember_to_save().await;
        }
        Ok(harmless(passed).map_err(failed)?)
    }
}

/// A body of a request.
enum Body {
    None,
    /// A short one: where the connection to the sandbox breaks, it is sent again.
    Kept(Vec<u8>),
    Stream(JsValue),
}

/// Bytes that a request says its body has.
fn length(request: &Request) -> Option<usize> {
    let declared = request.headers().get("content-length").ok().flatten();
    declared.and_then(|text| text.parse().ok())
}

/// A short body.
async fn whole(request: &mut Request) -> std::result::Result<Vec<u8>, Problem> {
    let body = request.bytes().await;
    body.map_err(|_| Problem::bad_request("the request's body was cut"))
}

/// What of a request's headers goes on, and whose session it is.
fn request_headers(request: &Request, id: &SessionId) -> Result<Headers> {
    let headers = Headers::new();
    for name in REQUEST_HEADERS {
        if let Some(value) = request.headers().get(name)? {
            headers.set(name, &value)?;
        }
    }
    headers.set(SESSION, id.as_str())?;
    Ok(headers)
}

/// Asks the sandbox's server whether it is there, and hears the answer to its end.
async fn is_there(endpoint: &Endpoint) -> Result<()> {
    let mut answer = endpoint.fetch(Method::Options, "/", None).await?;
    answer.bytes().await.map(drop)
}

/// The same answer with the headers that may go on.
fn harmless(response: Response) -> Result<Response> {
    let header = |name: &str| response.headers().get(name).ok().flatten();
    let headers = Headers::new();
    for (name, value) in passed_on(response.status_code(), header) {
        headers.set(name, &value)?;
    }
    let status = response.status_code();
    let (_, body) = response.into_parts();
    let body = match status {
        204 | 205 | 304 => ResponseBody::Empty,
        _ => body,
    };
    Ok(Response::builder()
        .with_status(status)
        .with_headers(headers)
        .body(body))
}

/// The headers of an answer, from those of the sandbox's.
pub(super) fn passed_on(
    status: u16,
    given: impl Fn(&str) -> Option<String>,
) -> Vec<(&'static str, String)> {
    let given = |name: &str| {
        given(name).filter(|value| {
            value.len() <= LONGEST && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        })
    };
    let mut headers = vec![
        ("content-security-policy", POLICY.to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("cross-origin-resource-policy", "same-origin".to_owned()),
        // Asked after each time, and changed by nobody on the way.
        (
            "cache-control",
            "private, no-cache, no-transform".to_owned(),
        ),
    ];
    let content_type = given("content-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let disposition = given("content-disposition");
    let own = [answer::PROBLEM, "application/json"]
        .into_iter()
        .find(|own| *own == content_type);
    match (own, disposition) {
        // What the agent-server says itself, and not a file.
        (Some(own), None) => headers.push(("content-type", own.to_owned())),
        _ if status >= 400 => headers.push(("content-type", "application/octet-stream".to_owned())),
        (_, disposition) => {
            let content_type = shown_as(&content_type);
            headers.push((
                "content-disposition",
                kept_as(&content_type, disposition.as_deref().unwrap_or_default()),
            ));
            headers.push(("content-type", content_type));
        }
    }
    for name in [
        "accept-ranges",
        "content-length",
        "content-range",
        "etag",
        "last-modified",
    ] {
        if let Some(value) = given(name) {
            headers.push((name, value));
        }
    }
    headers
}

/// The type that a file is served as. A page of ours loads scripts and styles of its own origin, so
/// nothing that somebody else has written may be one.
fn shown_as(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let plain = essence.split_once('/').is_some_and(|(kind, name)| {
        let token = |part: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
            !part.is_empty() && part.bytes().all(known)
        };
        token(kind) && token(name)
    });
    if !plain {
        return "application/octet-stream".to_owned();
    }
    if essence.contains("script") || essence == "text/css" {
        return "text/plain; charset=utf-8".to_owned();
    }
    if content_type.ends_with("charset=utf-8") {
        return format!("{essence}; charset=utf-8");
    }
    essence.to_owned()
}

/// Whether a browser may show it: what it shows of these does nothing.
fn is_inert(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    let image = essence.starts_with("image/") && !essence.contains("xml");
    image
        || essence.starts_with("audio/")
        || essence.starts_with("video/")
        || matches!(essence, "text/plain" | "application/json")
}

/// `content-disposition`, written anew, with the name that the sandbox gives.
fn kept_as(content_type: &str, given: &str) -> String {
    let inline = given.split(';').next() == Some("inline") && is_inert(content_type);
    let kept = if inline { "inline" } else { "attachment" };
    let name = given.split_once("filename*=UTF-8''").map(|(_, name)| name);
    let Some((name, plain)) = name.and_then(|name| Some((name, decoded(name)?))) else {
        return kept.to_owned();
    };
    // For programs that know no other letters.
    let plain: String = plain
        .chars()
        .map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() => letter,
            ' ' | '.' | '_' | '-' => letter,
            _ => '_',
        })
        .collect();
    format!("{kept}; filename=\"{plain}\"; filename*=UTF-8''{name}")
}

/// What a percent-encoded name stands for; none where it is something else.
fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => bytes.push(byte),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, given: &[(&str, &str)], wanted: &str) -> Option<String> {
        let header = |name: &str| {
            let found = given.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let headers = passed_on(status, header);
        let found = headers.into_iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value)
    }

    #[test]
    fn what_a_file_is_served_as() {
        for (given, disposition, served, kept) in [
            ("image/png", "inline", "image/png", "inline"),
            ("image/svg+xml", "inline", "image/svg+xml", "attachment"),
            (
                "text/html; charset=utf-8",
                "inline",
                "text/html; charset=utf-8",
                "attachment",
            ),
            ("TEXT/HTML", "inline", "text/html", "attachment"),
            (
                "text/javascript",
                "inline",
                "text/plain; charset=utf-8",
                "inline",
            ),
            (
                "application/x-javascript",
                "attachment",
                "text/plain; charset=utf-8",
                "attachment",
            ),
            (
                "text/css; charset=utf-8",
                "inline",
                "text/plain; charset=utf-8",
                "inline",
            ),
            (
                "text/plain; charset=utf-7",
                "inline",
                "text/plain",
                "inline",
            ),
            (
                "application/json; charset=utf-8",
                "inline",
                "application/json; charset=utf-8",
                "inline",
            ),
            ("application/pdf", "inline", "application/pdf", "attachment"),
            ("x", "inline", "application/octet-stream", "attachment"),
            ("", "", "application/octet-stream", "attachment"),
            (
                "image/png\r\nset-cookie: a=b",
                "inline",
                "application/octet-stream",
                "attachment",
            ),
        ] {
            let headers = [
                ("content-type", given),
                ("content-disposition", disposition),
            ];
            assert_eq!(
                of(200, &headers, "content-type").as_deref(),
                Some(served),
                "{given}"
            );
            assert_eq!(
                of(200, &headers, "content-disposition").as_deref(),
                Some(kept),
                "{given}"
            );
            assert_eq!(
                of(200, &headers, "content-security-policy").as_deref(),
                Some(POLICY)
            );
            assert_eq!(
                of(200, &headers, "x-content-type-options").as_deref(),
                Some("nosniff")
            );
        }
    }

    #[test]
    fn answers_of_the_server_itself() {
        let json = [("content-type", "application/json")];
        assert_eq!(
            of(200, &json, "content-type").as_deref(),
            Some("application/json")
        );
        assert_eq!(of(200, &json, "content-disposition"), None);
        let problem = [("content-type", answer::PROBLEM)];
        assert_eq!(
            of(404, &problem, "content-type").as_deref(),
            Some(answer::PROBLEM)
        );
        let page = [("content-type", "text/html")];
        let plain = Some("application/octet-stream");
        assert_eq!(of(404, &page, "content-type").as_deref(), plain);
        assert_eq!(
            of(200, &page, "content-disposition").as_deref(),
            Some("attachment"),
            "a file without a word about it is kept"
        );
    }

    #[test]
    fn names_of_files() {
        for (given, wanted) in [
            (
                "attachment; filename*=UTF-8''a%20b.txt",
                "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt",
            ),
            (
                "attachment; filename*=UTF-8''%C3%A4%22%0D.txt",
                "attachment; filename=\"___.txt\"; filename*=UTF-8''%C3%A4%22%0D.txt",
            ),
            ("attachment; filename*=UTF-8''%FF%2", "attachment"),
            ("attachment; filename*=UTF-8''a\"; x=y", "attachment"),
            ("attachment; filename=\"a\"", "attachment"),
            ("inline, attachment", "attachment"),
        ] {
            assert_eq!(kept_as("image/png", given), wanted, "{given}");
        }
        assert!(decoded("%+1").is_none());
    }

    #[test]
    fn nothing_else_passes() {
        let given = [
            ("set-cookie", "a=b"),
            ("location", "/"),
            ("etag", "\"a\""),
            ("content-range", "bytes 0-1/2"),
            ("last-modified", "a\nb"),
        ];
        assert_eq!(of(200, &given, "set-cookie"), None);
        assert_eq!(of(302, &given, "location"), None);
        assert_eq!(of(200, &given, "etag").as_deref(), Some("\"a\""));
        assert_eq!(
            of(206, &given, "content-range").as_deref(),
            Some("bytes 0-1/2")
        );
        assert_eq!(of(200, &given, "last-modified"), None);
    }
}
