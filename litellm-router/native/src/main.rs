//! `litellm-router --config FILE --host H --port P`.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use litellm_router::config;
use litellm_router::serve::Router;
use litellm_router_native::log::{self, CALL, Format};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// A gateway for language models: reads LiteLLM's configuration, speaks Anthropic's and OpenAI's
/// APIs.
///
/// Point Claude Code at it with ANTHROPIC_BASE_URL=http://127.0.0.1:4000, or an OpenAI client with
/// base URL http://127.0.0.1:4000/v1. Keys of providers come from the environment (GROQ_API_KEY,
/// OPENROUTER_API_KEY, ANTHROPIC_API_KEY, …) or as the configuration says.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// LiteLLM's configuration, YAML. Without one, the one that is part of the program is used: the
    /// scripted model local/demo and each provider's models by their own names
    #[arg(short, long, value_name = "FILE", env = "LITELLM_CONFIG_FILE")]
    config: Option<PathBuf>,
    /// The address to listen at. Others than the loopback need a master key in the configuration or
    /// in LITELLM_MASTER_KEY
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    host: IpAddr,
    #[arg(short, long, default_value_t = 4000, value_name = "PORT")]
    port: u16,
    /// Threads that serve calls [default: one a core]
    #[arg(long, value_name = "N")]
    num_workers: Option<usize>,
    /// Seconds that calls under way have to come to their end when the program is told to stop
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    graceful_timeout: u64,
    /// Reads the configuration, says what is wrong in it or has no effect, and ends
    #[arg(long)]
    check: bool,
    /// Logs more
    #[arg(long)]
    debug: bool,
    /// How the log on stderr is written [default: text where stderr is a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let level = if options.debug { "debug" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(format!("warn,{CALL}={level},litellm_router_native={level}"))
    });
    let for_people = std::io::stderr().is_terminal();
    let format = options.log_format.unwrap_or(match for_people {
        true => Format::Text,
        false => Format::Json,
    });
    log::begin(format, filter, for_people);
    match run(&options, format) {
        Ok(()) => ExitCode::SUCCESS,
        // What `--check` says is for who has asked.
        Err(wrong) if format == Format::Json && !options.check => {
            tracing::error!("{wrong:#}");
            ExitCode::FAILURE
        }
        Err(wrong) => {
            eprintln!("Error: {wrong:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, format: Format) -> anyhow::Result<()> {
    let (yaml, name) = match &options.config {
        Some(file) => (
            std::fs::read_to_string(file)
                .with_context(|| format!("{} cannot be read", file.display()))?,
            file.display().to_string(),
        ),
        None => (
            config::BUNDLED.to_owned(),
            "the bundled configuration".into(),
        ),
    };
    let environment = |name: &str| std::env::var(name).ok();
    let router = match Router::new(&yaml, &environment) {
        Ok(router) => router,
        Err(wrong) => bail!("{name}: {wrong}"),
    };
    if options.check {
        for warning in router.warnings() {
            println!("{name}: {warning}");
        }
        println!("{name}: can be read; warnings: {}", router.warnings().len());
        return Ok(());
    }
    for warning in router.warnings() {
        tracing::warn!("{name}: {warning}");
    }
    if !options.host.is_loopback()
        && let Some(words) = router.shut()
    {
        bail!("{name}: {words}");
    }
    if !options.host.is_loopback() && !router.asks_for_a_key() {
        bail!(
            "at {} everybody could use this router's keys: set general_settings.master_key or keys \
             in the configuration, or LITELLM_MASTER_KEY, or listen at 127.0.0.1",
            options.host
        );
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = options.num_workers {
        runtime.worker_threads(workers.max(1));
    }
    runtime.enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((options.host, options.port))
            .await
            .with_context(|| format!("{}:{} cannot be listened at", options.host, options.port))?;
        let address = listener.local_addr()?;
        let words = format!("litellm-router listens at http://{address}");
        match format {
            Format::Text => eprintln!("{words}"),
            Format::Json => tracing::info!(target: "litellm_router_native", "{words}"),
        }
        let grace = Duration::from_secs(options.graceful_timeout);
        litellm_router_native::run(router, listener, stopped(), grace).await
    })
}

/// Ready when the process is told to end.
async fn stopped() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    // Where nothing can be waited for, nothing stops it but a kill.
    if interrupted.await.is_err() {
        std::future::pending::<()>().await;
    }
}
