//! Who calls the router in workerd: the SDKs that people use, and pages of the web.

use std::path::Path;

use anyhow::{Result, ensure};
use litellm_router_stage::Stage;
use litellm_router_stage::sdks::{self, Sdk};
use reqwest::Method;
use serde_json::json;

use super::alone::Alone;
use super::variables;

/// The same programs hold with the router that is a program.
pub async fn sdks() -> Result<()> {
    let stage = Stage::open(&[]).await;
    let config = stage.configured(&sdks::config());
    let router = Alone::start(variables(json!({"LITELLM_CONFIG": config}))).await?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for sdk in Sdk::ALL {
        sdk.holds(&router.url, &stage, folder).await;
    }
    sdks::metrics_are_read(&router.url, &stage, folder).await;
    router.stop().await;
    Ok(())
}

pub async fn pages() -> Result<()> {
    let config = "model_list: [{model_name: mine, litellm_params: {model: groq/x, mock_response: Mine.}}]\n\
                  general_settings: {allowed_origins: ['https://ui.example']}\n";
    let router = Alone::start(variables(json!({"LITELLM_CONFIG": config}))).await?;
    let url = format!("{}/v1/messages", router.url);
    let body =
        json!({"model": "mine", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    for (origin, status, allowed) in [
        ("https://ui.example", 200, Some("https://ui.example")),
        ("https://evil.example", 403, None),
    ] {
        let call = router.http.post(&url).header("origin", origin).json(&body);
        let answer = call.send().await?;
        ensure!(answer.status() == status, "{origin}: {}", answer.status());
        let told = answer.headers().get("access-control-allow-origin");
        ensure!(
            told.map(|origin| origin.as_bytes()) == allowed.map(str::as_bytes),
            "{told:?}"
        );
    }
    let asks = router.http.request(Method::OPTIONS, &url);
    let asks = asks.header("origin", "https://ui.example");
    let asks = asks.header("access-control-request-headers", "x-api-key");
    let answer = asks.send().await?;
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    ensure!(answer.status() == 204, "{}", answer.status());
    ensure!(header("access-control-allow-origin") == Some("https://ui.example"));
    ensure!(header("access-control-allow-headers") == Some("x-api-key"));
    router.stop().await;
    Ok(())
}
