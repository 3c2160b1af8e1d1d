//! Where a sandbox can be reached.

use worker::wasm_bindgen::JsValue;
use worker::{Fetch, Fetcher, Headers, Method, Request, RequestInit, Response, Result};

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
        self.fetch_with(method, path, body.as_deref().map(bytes))
            .await
    }

    /// Posts a body that may be a stream.
    ///
    /// # Errors
    /// Where the sandbox does not answer.
    pub async fn send(&self, path: &str, body: JsValue) -> Result<Response> {
        self.fetch_with(Method::Post, path, Some(body)).await
    }

    async fn fetch_with(
        &self,
        method: Method,
        path: &str,
        body: Option<JsValue>,
    ) -> Result<Response> {
        let headers = Headers::new();
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

/// A request whose body is JSON, where it has one.
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
    if let Some(body) = body {
        headers.set("content-type", "application/json")?;
        init.with_body(Some(body));
    }
    init.with_method(method).with_headers(headers);
    Request::new_with_init(url, &init)
}
