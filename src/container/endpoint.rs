//! Where a sandbox can be reached.

use worker::wasm_bindgen::JsValue;
use worker::{
    Fetch, Fetcher, Headers, Method, Request, RequestInit, RequestRedirect, Response, Result,
};

/// Where a sandbox can be reached.
#[derive(Clone)]
pub enum Endpoint {
    Port(Fetcher),
    /// With the token that its server asks for.
    Url {
        url: String,
        token: Option<String>,
    },
}

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
            Self::Url { url, token } => {
                if let Some(token) = token {
                    headers.set("authorization", &format!("Bearer {token}"))?;
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
