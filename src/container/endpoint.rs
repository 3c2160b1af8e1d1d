//! Where a sandbox can be reached.

use std::future::Future;
use std::time::Duration;

use protocol::{Problem, ProblemKind};
use worker::wasm_bindgen::JsValue;
use worker::{
    Delay, Fetch, Fetcher, Headers, Method, Request, RequestInit, RequestRedirect, Response, Result,
};

use crate::answer::{internal, within};

/// Where a sandbox can be reached.
#[derive(Clone)]
pub enum Endpoint {
    Port(Fetcher),
    /// With the token that its server asks for.
    Url {
        url: String,
        token: Option<String>,
        /// The machine that is meant, of those behind the address.
        instance: Option<String>,
    },
}

/// How long a server may take to tell its health.
const HEALTH: Duration = Duration::from_secs(5);

impl Endpoint {
    /// # Errors
    /// Where the sandbox does not answer.
    pub async fn fetch(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Response> {
        let headers = json_headers(body.is_some())?;
        self.pass(method, path, headers, body.as_deref().map(bytes))
            .await
    }

    /// Asks the sandbox's server for its health, often at first, until it answers.
    ///
    /// # Errors
    /// Where it does not within `patience`, or `gone` says how the sandbox has ended meanwhile.
    pub async fn until_it_answers<G: Future<Output = Option<String>>>(
        &self,
        patience: Duration,
        gone: impl Fn() -> G,
    ) -> std::result::Result<(), Problem> {
        let begin = worker::Date::now().as_millis();
        let mut pause = 20;
        loop {
            let health = async {
                let answer = self.fetch(Method::Get, "/", None).await;
                Ok(answer.map_or_else(
                    |error| error.to_string(),
                    |answer| answer.status_code().to_string(),
                ))
            };
            let told = within(HEALTH, "the sandbox", health).await;
            let told = told.unwrap_or_else(|late| late.detail);
            if told == "200" {
                return Ok(());
            }
            if let Some(end) = gone().await {
                return Err(Problem::new(
                    ProblemKind::SandboxFailed,
                    format!("the sandbox stopped while it was starting: {end}"),
                ));
            }
            let waited = worker::Date::now().as_millis().saturating_sub(begin);
            if Duration::from_millis(waited) > patience {
                internal("sandbox", &told);
                let words = format!(
                    "the sandbox runs, but its server did not answer within {} seconds",
                    patience.as_secs()
                );
                return Err(Problem::new(ProblemKind::TimedOut, words));
            }
            Delay::from(Duration::from_millis(pause)).await;
            pause = (pause * 3 / 2).min(250);
        }
    }

    /// Posts a body that may be a stream.
    ///
    /// # Errors
    /// Where the sandbox does not answer.
    pub async fn send(&self, path: &str, body: JsValue) -> Result<Response> {
        self.pass(Method::Post, path, json_headers(true)?, Some(body))
            .await
    }

    /// Passes a request on, with headers of its own.
    ///
    /// # Errors
    /// Where the sandbox does not answer.
    pub async fn pass(
        &self,
        method: Method,
        path: &str,
        headers: Headers,
        body: Option<JsValue>,
    ) -> Result<Response> {
        match self {
            Self::Port(port) => {
                let url = format!("http://sandbox.internal{path}");
                port.fetch_request(request(&url, method, headers, body)?)
                    .await
            }
            Self::Url {
                url,
                token,
                instance,
            } => {
                if let Some(token) = token {
                    headers.set("authorization", &format!("Bearer {token}"))?;
                }
                if let Some(instance) = instance {
                    headers.set("fly-force-instance-id", instance)?;
                }
                let request = request(&format!("{url}{path}"), method, headers, body)?;
                Fetch::Request(request).send().await
            }
        }
    }
}

/// Bytes as the body of a request.
pub fn bytes(body: &[u8]) -> JsValue {
    worker::js_sys::Uint8Array::from(body).into()
}

/// The headers of a request whose body, where it has one, is JSON.
///
/// # Errors
/// Where the platform refuses them, which it does not.
pub fn json_headers(body: bool) -> Result<Headers> {
    let headers = Headers::new();
    if body {
        headers.set("content-type", "application/json")?;
    }
    Ok(headers)
}

/// The header of a request that asks for a WebSocket.
pub const UPGRADE: &str = "upgrade";

/// The headers of a request that asks for a WebSocket.
///
/// # Errors
/// Where the platform refuses them, which it does not.
pub fn socket_headers() -> Result<Headers> {
    let headers = Headers::new();
    headers.set(UPGRADE, "websocket")?;
    Ok(headers)
}

/// A request that follows no redirect: a sandbox sends nobody elsewhere.
///
/// # Errors
/// Where the platform refuses it.
pub fn request(
    url: &str,
    method: Method,
    headers: Headers,
    body: Option<JsValue>,
) -> Result<Request> {
    let mut init = RequestInit::new();
    init.with_method(method)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(body);
    Request::new_with_init(url, &init)
}
