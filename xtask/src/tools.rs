//! What has to be installed, in which version, and installing it.
//!
//! Versions are pinned in three places that tools read anyway: `rust-toolchain.toml`, `package.json`
//! (Node, wrangler, Claude Code) and `[workspace.metadata.tools]` in `Cargo.toml`. The
//! version of wasm-bindgen's command is the one that `Cargo.lock` has for its crate.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::process::{output, run};
use crate::{root, say};

/// Node's version that wrangler asks for.
const NODE: (u64, u64) = (22, 12);

/// What building and running needs, where it is.
#[derive(Debug, Clone)]
pub struct Tools {
    pub worker_build: PathBuf,
    pub wasm_bindgen: PathBuf,
    pub node: PathBuf,
}

impl Tools {
    /// Installs what is missing.
    ///
    /// # Errors
    /// What could not be installed, and why.
    pub async fn install() -> Result<Self> {
        rust().await?;
        npm().await?;
        Ok(Self {
            worker_build: cargo_tool(
                "worker-build",
                &pinned("worker-build").await?,
                &["--locked"],
            )
            .await?,
            // Its own lock file names versions that may be gone.
            wasm_bindgen: cargo_tool_for(
                "wasm-bindgen-cli",
                "wasm-bindgen",
                &locked("wasm-bindgen").await?,
                &[],
            )
            .await?,
            node: node().await?,
        })
    }

    /// A command of an npm package, run by the right Node.
    pub fn npm_command(&self, package: &str, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(root().join("node_modules").join(package).join(script));
        self.with_node(&mut command);
        command
    }

    /// Puts the right Node first on a command's path.
    pub fn with_node<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // A node that was found on the path has no folder, and an empty one would mean the present.
        let folder = self.node.parent().filter(|folder| *folder != Path::new(""));
        let mut paths: Vec<PathBuf> = folder.map(Path::to_owned).into_iter().collect();
        paths.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        if let Ok(path) = std::env::join_paths(paths) {
            command.env("PATH", path);
        }
        command
    }
}

/// The Wasm target for the pinned toolchain, and a nightly one for the Workers: their panics unwind,
/// for which the standard library is built anew.
async fn rust() -> Result<()> {
    let installed = output(Command::new("rustup").args(["toolchain", "list"]))
        .await
        .context("rustup is needed: https://rustup.rs")?;
    if !installed
        .lines()
        .any(|line| line.starts_with("nightly-") && !line.starts_with("nightly-2"))
    {
        say("installing the nightly toolchain, with which the Workers are built");
        run(Command::new("rustup").args([
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
        ]))
        .await?;
    }
    let sysroot = output(Command::new("rustc").args(["+nightly", "--print", "sysroot"])).await?;
    if !Path::new(&sysroot)
        .join("lib/rustlib/src/rust/library/std")
        .exists()
    {
        say("installing the standard library's source");
        run(Command::new("rustup").args([
            "component",
            "add",
            "rust-src",
            "--toolchain",
            "nightly",
        ]))
        .await?;
    }
    Ok(())
}

async fn npm() -> Result<()> {
    let root = root();
    let installed = root.join("node_modules/.package-lock.json");
    let wanted = root.join("package-lock.json");
    let age = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    if age(&installed).is_some() && age(&installed) >= age(&wanted) {
        return Ok(());
    }
    say("installing npm packages (wrangler, Node, Claude Code, the UI's)");
    run(Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(&root))
    .await
    .context("npm ci; Node 20 or newer with npm is needed")
}

/// The system's Node where it is new enough, else the one from npm.
///
/// # Errors
/// Where there is neither.
pub async fn node() -> Result<PathBuf> {
    for node in [
        PathBuf::from("node"),
        root().join("node_modules/node/bin/node"),
    ] {
        let Ok(version) = output(Command::new(&node).arg("--version")).await else {
            continue;
        };
        let mut numbers = version
            .trim_start_matches('v')
            .split('.')
            .map(|number| number.parse().unwrap_or(0));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= NODE {
            return Ok(node);
        }
    }
    bail!(
        "wrangler needs Node {}.{} or newer, and npm's package \"node\" did not bring it; \
         run `npm rebuild node`, or install Node yourself",
        NODE.0,
        NODE.1
    )
}

async fn cargo_tool(name: &str, version: &str, options: &[&str]) -> Result<PathBuf> {
    cargo_tool_for(name, name, version, options).await
}

/// A command that cargo installs: where it is on the path in the right version, that one.
async fn cargo_tool_for(
    package: &str,
    command: &str,
    version: &str,
    options: &[&str],
) -> Result<PathBuf> {
    let own = root().join(".tools/bin").join(command);
    for candidate in [own.clone(), PathBuf::from(command)] {
        let found = output(Command::new(&candidate).arg("--version")).await;
        if found.is_ok_and(|found| found.split_whitespace().last() == Some(version)) {
            return which(&candidate).await;
        }
    }
    // Another version on the path is somebody's, so ours goes into the project's folder then.
    let taken = output(Command::new(command).arg("--version")).await.is_ok();
    say(&format!(
        "installing {package} {version}, about two minutes"
    ));
    let mut install = Command::new("cargo");
    install
        .args(["install", "--quiet", package, "--version", version])
        .args(options)
        // Used for seconds, so it is built for a quick build.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env_remove("CARGO_TARGET_DIR");
    if taken {
        install.arg("--root").arg(root().join(".tools"));
    }
    run(&mut install).await?;
    which(if taken { &own } else { Path::new(command) }).await
}

async fn which(command: &Path) -> Result<PathBuf> {
    if command.is_absolute() {
        return Ok(command.to_owned());
    }
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(command))
        .find(|path| path.exists())
        .with_context(|| {
            format!(
                "{} is not on the path; is cargo's bin folder?",
                command.display()
            )
        })
}

/// The version that `Cargo.toml` pins a tool to.
async fn pinned(tool: &str) -> Result<String> {
    let manifest: toml::Table = tokio::fs::read_to_string(root().join("Cargo.toml"))
        .await?
        .parse()?;
    manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("metadata")?.get("tools")?.get(tool)?.as_str())
        .map(str::to_owned)
        .with_context(|| format!("Cargo.toml pins no {tool}"))
}

/// The version of a crate in `Cargo.lock`.
async fn locked(name: &str) -> Result<String> {
    let lock: toml::Table = tokio::fs::read_to_string(root().join("Cargo.lock"))
        .await?
        .parse()?;
    lock.get("package")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .find(|package| package.get("name").and_then(toml::Value::as_str) == Some(name))
        .and_then(|package| package.get("version")?.as_str())
        .map(str::to_owned)
        .with_context(|| format!("Cargo.lock has no {name}"))
}

/// The Claude Code program that npm installed for this machine.
///
/// # Errors
/// Where there is none.
pub fn claude() -> Result<PathBuf> {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        arch => arch,
    };
    let path = root().join(format!(
        "node_modules/@anthropic-ai/claude-code-{os}-{arch}/claude"
    ));
    if !path.exists() {
        bail!(
            "Claude Code is not installed at {}; run `npm ci`",
            path.display()
        );
    }
    Ok(path)
}

/// Whether a Docker engine answers.
pub async fn docker_answers() -> bool {
    let docker = std::env::var("WRANGLER_DOCKER_BIN").unwrap_or_else(|_| "docker".to_owned());
    output(Command::new(docker).args(["version", "--format", "{{.Server.Version}}"]))
        .await
        .is_ok_and(|version| !version.is_empty())
}

/// A Chromium that tests can use.
pub async fn chromium() -> Option<PathBuf> {
    let given = std::env::var_os("CHROMIUM_PATH").map(PathBuf::from);
    let known = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ]
    .map(PathBuf::from);
    for candidate in given.into_iter().chain(known) {
        if let Ok(path) = which(&candidate).await {
            return Some(path);
        }
    }
    None
}

/// The version of LiteLLM that sessions are tested with and the router is compared with.
pub const LITELLM: &str = "1.106.2";

/// LiteLLM's proxy, installed from Python's registry into a virtual environment of its own. It takes
/// some minutes the first time.
///
/// # Errors
/// Where there is no Python with `venv`, or the registry cannot be reached.
pub async fn litellm() -> Result<PathBuf> {
    of_python("litellm", LITELLM, "litellm[proxy]").await
}

/// The version of schemathesis that the API is fuzzed with.
const SCHEMATHESIS: &str = "4.32.5";

/// What makes requests to an API from its OpenAPI document, installed as [`litellm`] is.
///
/// # Errors
/// Where there is no Python with `venv`, or the registry cannot be reached.
pub async fn schemathesis() -> Result<PathBuf> {
    of_python("schemathesis", SCHEMATHESIS, "schemathesis").await
}

/// A program of Python's registry, in a virtual environment of its own.
async fn of_python(name: &str, version: &str, package: &str) -> Result<PathBuf> {
    let folder = crate::build::target_folder()
        .join("tools")
        .join(format!("{name}-{version}"));
    let program = folder.join("bin").join(name);
    let installed = folder.join("installed");
    if !installed.exists() {
        crate::say(&format!("installing {name} {version}, some minutes"));
        run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(&folder)
            .kill_on_drop(true))
        .await
        .context("a virtual environment of Python")?;
        run(Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet"])
            .arg(format!("{package}=={version}"))
            .kill_on_drop(true))
        .await?;
        tokio::fs::write(&installed, "").await?;
    }
    Ok(program)
}

/// Whether [`litellm`] can be installed here.
pub async fn python() -> bool {
    let mut venv = Command::new("python3");
    venv.args(["-c", "import venv, ensurepip"]);
    output(&mut venv).await.is_ok()
}
