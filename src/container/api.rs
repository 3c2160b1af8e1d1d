//! A provider's API, as far as sandboxes need it: JSON over HTTP, with a token or a certificate.

use std::time::Duration;

use protocol::{Problem, ProblemKind};
use serde_json::Value;
use worker::{Fetch, Fetcher, Method};

use super::endpoint::{bytes, json_headers, request};
use crate::answer::{internal, up_to, within};

/// How long one thing may take: to wait until something has started or stopped is the longest.
const PATIENCE: Duration = Duration::from_secs(75);

/// Bytes of an answer.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// A provider's API.
pub struct Api {
    /// What it is of, in words.
    pub what: &'static str,
    /// Without a slash at its end.
    pub url: String,
    pub token: Option<String>,
    /// For one that asks for a client's certificate.
    pub certificate: Option<Fetcher>,
    /// What it means that it does not do what it is told, by the words that it gives for it.
    pub why: fn(&str) -> Problem,
}

/// What it says.
pub struct Told {
    pub status: u16,
    body: Vec<u8>,
}

impl Told {
    pub fn is_ok(&self) -> bool {
        self.status < 400
    }

    /// # Errors
    /// Where it is not JSON.
    pub fn read(&self) -> Result<Value, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| internal("answer of a provider", &error))
    }

    /// Why it refuses, for the operator.
    pub fn message(&self) -> String {
        let told: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let message = told.get("message").or(told.get("error"));
        let message = message.and_then(Value::as_str);
        let message = message.map(|message| message.chars().take(1000).collect());
        message.unwrap_or_else(|| format!("status {}", self.status))
    }
}

impl Api {
    /// # Errors
    /// Where it does not answer, or lets nobody in.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Told, Problem> {
        let failed = |error: worker::Error| {
            internal(self.what, &error);
            let words = format!("{}, which sandboxes run on, does not answer", self.what);
            Problem::new(ProblemKind::SandboxFailed, words)
        };
        let headers = json_headers(body.is_some()).map_err(failed)?;
        if let Some(token) = &self.token {
            let token = format!("Bearer {token}");
            headers.set("authorization", &token).map_err(failed)?;
        }
        let body = body.map(|body| bytes(body.to_string().as_bytes()));
        let url = format!("{}{path}", self.url);
        let request = request(&url, method.clone(), headers, body).map_err(failed)?;
        let asked = async {
            let mut response = match &self.certificate {
                Some(certificate) => certificate.fetch_request(request).await,
                None => Fetch::Request(request).send().await,
            }
            .map_err(failed)?;
            let body = match response.stream() {
                Ok(stream) => up_to(MAX_ANSWER, stream).await.map_err(failed)?,
                Err(_) => Some(Vec::new()),
            };
            let body = body.ok_or_else(|| internal(self.what, &"a very long answer"))?;
            let status = response.status_code();
            Ok(Told { status, body })
        };
        let told = within(PATIENCE, self.what, asked).await?;
        // Docker also says 403 of a network that somebody is in.
        let is_refused = told.status == 401 || (told.status == 403 && method != Method::Delete);
        if is_refused {
            internal(self.what, &told.message());
            let words = format!(
                "{}, which sandboxes run on, does not let this deployment in",
                self.what
            );
            return Err(Problem::new(ProblemKind::NotConfigured, words));
        }
        Ok(told)
    }

    /// The same, for what must be done. What is there already, or is gone already, is done.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn tell(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Told, Problem> {
        let done_already = match method {
            Method::Delete => 404,
            // It runs already, or it is stopped already.
            _ => 304,
        };
        let told = self.ask(method, path, body).await?;
        if told.is_ok() || told.status == done_already {
            return Ok(told);
        }
        let message = told.message();
        internal(self.what, &format!("{path}: {message}"));
        Err((self.why)(&message))
    }
}
