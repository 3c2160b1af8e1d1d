//! Building what runs and what is deployed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::process::run;
use crate::tools::Tools;
use crate::{docs, root, say, wasm};

/// The target of the agent-server in the sandbox's image: static, so that it runs in any image.
const IMAGE_TARGET: &str = "x86_64-unknown-linux-musl";

/// Where the Worker is built that can be told to panic.
pub const PANICKING: &str = "target/panics";

/// Of the standard library in a Worker.
const STD_FEATURES: &str = "panic-unwind,optimize_for_size";

/// Builds everything.
///
/// # Errors
/// What could not be built.
pub async fn all() -> Result<()> {
    let tools = Tools::install().await?;
    ui_with(&tools).await?;
    worker().await?;
    router().await?;
    image().await?;
    agent_server().await
}

/// # Errors
/// What could not be built.
pub async fn worker() -> Result<()> {
    let tools = Tools::install().await?;
    worker_with(&tools, &root(), "the session Worker").await
}

/// The session Worker in which a message can make its session panic, for the tests: in [`PANICKING`].
///
/// # Errors
/// What could not be built.
pub async fn panicking_worker() -> Result<()> {
    let tools = Tools::install().await?;
    say("building the session Worker that panics where it is told to");
    let arguments = ["--out-dir", PANICKING, ".", "--features", "panics"];
    run(worker_build(&tools, &root()).args(arguments))
        .await
        .context("building the session Worker that panics")
}

/// # Errors
/// What could not be built.
pub async fn router() -> Result<()> {
    let tools = Tools::install().await?;
    let folder = root().join("litellm-router");
    worker_with(&tools, &folder, "the model router").await
}

/// # Errors
/// What could not be built.
pub async fn ui() -> Result<()> {
    ui_with(&Tools::install().await?).await
}

async fn worker_with(tools: &Tools, folder: &Path, name: &str) -> Result<()> {
    say(&format!("building {name}"));
    run(&mut worker_build(tools, folder))
        .await
        .with_context(|| format!("building {name}"))?;
    wasm::strip_names(folder).await
}

fn worker_build(tools: &Tools, folder: &Path) -> Command {
    let mut build = Command::new(&tools.worker_build);
    build
        // Wasm that wasm-opt has made smaller is larger when it is compressed, and that is what counts.
        .args(["--release", "--panic-unwind", "--no-opt"])
        .current_dir(folder)
        // The standard library is built with the Worker; some of it has a smaller form.
        .env("CARGO_UNSTABLE_BUILD_STD_FEATURES", STD_FEATURES)
        .env("WASM_BINDGEN_BIN", &tools.wasm_bindgen)
        .env("ESBUILD_BIN", root().join("node_modules/.bin/esbuild"));
    build
}

async fn ui_with(tools: &Tools) -> Result<()> {
    say("building the UI");
    let mut build = Command::new("npm");
    build
        .args(["run", "--silent", "build", "--workspace", "ui"])
        .current_dir(root());
    run(tools.with_node(&mut build))
        .await
        .context("building the UI")?;
    // After it: it makes its folder anew.
    docs::into(&root().join("ui/dist")).await
}

/// Puts together what the sandbox's image is made of: `container/Dockerfile` copies it from
/// `container/image/`.
///
/// # Errors
/// What could not be built.
pub async fn image() -> Result<()> {
    let folder = root().join("container/image");
    tokio::fs::create_dir_all(&folder).await?;
    say("building the agent-server for the sandbox's image");
    let server = cargo_agent_server(Some(IMAGE_TARGET)).await?;
    copy_if_other(&server, &folder.join("agent-server")).await?;
    copy_if_other(&image_claude().await?, &folder.join("claude")).await
}

/// Builds the agent-server for this machine's local sandboxes.
async fn agent_server() -> Result<()> {
    if agent_server_target().is_none() {
        say("building the agent-server for this machine");
        cargo_agent_server(None).await?;
    }
    Ok(())
}

/// The agent-server for this machine, as it was built last.
///
/// # Errors
/// Where it was not.
pub fn built_agent_server() -> Result<PathBuf> {
    let path = agent_server_at(agent_server_target());
    if !path.exists() {
        bail!("the agent-server is not built; run cargo xtask build");
    }
    Ok(path)
}

/// Where the image's agent-server runs as well, that one serves both.
fn agent_server_target() -> Option<&'static str> {
    cfg!(all(target_os = "linux", target_arch = "x86_64")).then_some(IMAGE_TARGET)
}

fn agent_server_at(target: Option<&str>) -> PathBuf {
    let folder = target_folder();
    let folder = target.map_or(folder.clone(), |target| folder.join(target));
    folder.join("native/agent-server")
}

async fn cargo_agent_server(target: Option<&str>) -> Result<PathBuf> {
    let mut build = Command::new("cargo");
    build
        .args(["build", "--profile", "native", "--package", "agent-server"])
        .current_dir(root());
    if let Some(target) = target {
        build.args(["--target", target]);
        // No C compiler for the target is needed: nothing in it is C.
        build.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
    }
    run(&mut build).await.context("building the agent-server")?;
    Ok(agent_server_at(target))
}

/// Claude Code for the image, which is Linux on x86-64, whatever this machine is.
async fn image_claude() -> Result<PathBuf> {
    let package = "@anthropic-ai/claude-code-linux-x64";
    let installed = root().join("node_modules").join(package).join("claude");
    if installed.exists() {
        return Ok(installed);
    }
    let manifest = tokio::fs::read_to_string(root().join("package.json")).await?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest)?;
    let version = manifest
        .pointer("/devDependencies/@anthropic-ai~1claude-code")
        .and_then(serde_json::Value::as_str)
        .context("package.json pins no @anthropic-ai/claude-code")?;
    say("fetching Claude Code for the sandbox's image");
    let folder = root().join("target/image-claude");
    tokio::fs::create_dir_all(&folder).await?;
    run(Command::new("npm")
        .args([
            "install",
            "--no-save",
            "--ignore-scripts",
            "--force",
            "--prefix",
        ])
        .arg(&folder)
        .arg(format!("{package}@{version}")))
    .await?;
    Ok(folder.join("node_modules").join(package).join("claude"))
}

/// Copies a file unless the same is there: an untouched one keeps Docker's layer.
async fn copy_if_other(from: &Path, to: &Path) -> Result<()> {
    let same = |a: std::fs::Metadata, b: std::fs::Metadata| a.len() == b.len();
    if let (Ok(a), Ok(b)) = (from.metadata(), to.metadata())
        && same(a, b)
        && tokio::fs::read(from).await? == tokio::fs::read(to).await?
    {
        return Ok(());
    }
    tokio::fs::copy(from, to)
        .await
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Deploys the router first: the session Worker is bound to it.
///
/// # Errors
/// What could not be built or deployed.
pub async fn deploy(dry_run: bool) -> Result<()> {
    all().await?;
    wasm::within_budget().await?;
    let tools = Tools::install().await?;
    for config in ["litellm-router/wrangler.jsonc", "wrangler.jsonc"] {
        say(&format!(
            "deploying {config}{}",
            if dry_run { ", without the upload" } else { "" }
        ));
        let mut deploy = tools.npm_command("wrangler", "bin/wrangler.js");
        deploy
            .args(["deploy", "--config", config])
            .current_dir(root())
            .env("WRANGLER_SEND_METRICS", "false");
        if dry_run {
            deploy.arg("--dry-run");
            if !crate::tools::docker_answers().await {
                say("the sandbox's image is left out, because no Docker engine answers");
                deploy.args(["--containers-rollout", "none"]);
            }
        }
        run(&mut deploy)
            .await
            .with_context(|| format!("deploying {config}"))?;
    }
    Ok(())
}

/// Where cargo puts what it builds.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
