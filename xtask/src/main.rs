//! `cargo xtask`: see `cargo xtask --help`.

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use xtask::stack::{Provider, Stack, StackOptions};
use xtask::{bench, build, docs, keys, say, test};

/// Every chore of Agent Router.
///
/// A newcomer needs two: `cargo xtask dev` runs the whole system on this machine, and
/// `cargo xtask test` runs every test. Both install what is missing into the project's folder or
/// cargo's own.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build and run both Workers with everything they need, on this machine
    ///
    /// Prints the address to open. No key is needed: without one, the scripted model local/demo
    /// answers. To use a real model, set its provider's key before, such as GROQ_API_KEY,
    /// OPENROUTER_API_KEY or ANTHROPIC_API_KEY: it reaches the model router alone.
    Dev {
        /// The port of the UI and the API
        #[arg(long, default_value_t = 8787)]
        port: u16,
        /// The port of the model router
        #[arg(long, default_value_t = 8788)]
        router_port: u16,
        /// Where sessions and local workspaces are kept
        #[arg(long, default_value = ".data", value_name = "DIR")]
        data: PathBuf,
        /// Where sandboxes run; the default is cloudflare (on Docker) where a Docker engine answers
        #[arg(long)]
        provider: Option<Provider>,
        /// The address to listen on; others than loopback need a token, in OPERATOR_TOKEN
        #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
        host: IpAddr,
        /// Start what was built last, without building
        #[arg(long)]
        no_build: bool,
    },
    /// Run every test: unit, property, end to end on real workerd, Claude Code and a browser
    ///
    /// With a FILTER, only the end-to-end tests whose name holds it run. A name is
    /// behaviour::case, and each behaviour is a file of tests/:
    ///
    ///   cargo xtask test queue                     all tests of the queue
    ///   cargo xtask test queue::one_that_waits     one of them, by the beginning of its name
    ///   cargo xtask test docker::                  what needs a Docker engine
    ///
    /// What can't run here, for want of Docker or Chromium, is named at the end.
    #[command(verbatim_doc_comment)]
    Test {
        /// A part of the names of the end-to-end tests to run; none: every test there is
        #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
        filter: Option<String>,
        /// Instead: kill, cut and starve the parts at random moments, count what is lost, and write
        /// FAULTS.md
        #[arg(long, conflicts_with = "filter")]
        faults: bool,
        /// How often each kind of fault happens
        #[arg(long, default_value_t = 100, requires = "faults")]
        rounds: u64,
        /// What the random moments are made from; none: another each time
        #[arg(long, requires = "faults")]
        seed: Option<u64>,
        /// Minutes after which no more rounds begin
        #[arg(long, requires = "faults")]
        minutes: Option<f64>,
    },
    /// Say what is wrong with a LiteLLM configuration, and what in it has no effect here
    ///
    /// Fails where the model router would not start with it. Variables that it names
    /// (os.environ/NAME) are looked for in this shell's environment.
    CheckConfig {
        /// The configuration, YAML
        file: PathBuf,
    },
    /// Write openapi/openapi.json anew, from the route table and the types
    Openapi,
    /// Make, list and revoke the API keys of a deployment
    Keys(keys::Keys),
    /// Measure the model router beside others that do the same work
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Build and deploy both Workers and the sandbox's image to Cloudflare
    Deploy {
        /// Do everything but the upload
        #[arg(long)]
        dry_run: bool,
    },
    /// Build what is deployed, or one part of it
    Build {
        #[arg(value_enum, default_value_t = Part::All)]
        part: Part,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// The model router, native and in workerd, beside LiteLLM and claude-code-router
    ///
    /// Writes litellm-router/BENCHMARKS.md. Installs the others into target/bench. Takes about 10
    /// minutes, in which this machine should do nothing else.
    Router(bench::Options),
    /// The provider of a measurement, in a process of its own
    #[command(hide = true)]
    Upstream,
    /// The clients of a measurement, in a process of their own
    #[command(hide = true)]
    Load { plan: PathBuf },
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Part {
    All,
    /// The session Worker
    Worker,
    /// The model router
    Router,
    /// The browser UI
    Ui,
    /// What the sandbox's image is made of
    Image,
    /// The session Worker that a message can make panic, for its tests
    Panics,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        // They bring a runtime of their own, of a single thread.
        Chore::Bench {
            what: Bench::Upstream,
        } => bench::run_upstream(),
        Chore::Bench {
            what: Bench::Load { plan },
        } => bench::run_load(&plan),
        chore => tokio::runtime::Runtime::new()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(run(chore))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", failure(&error, std::io::stderr().is_terminal()));
            ExitCode::FAILURE
        }
    }
}

/// What a person is told of a chore that has failed; in color where a terminal shows it.
fn failure(error: &anyhow::Error, color: bool) -> String {
    match color {
        true => format!("\x1b[1;31merror:\x1b[0m {error:#}"),
        false => format!("error: {error:#}"),
    }
}

fn check_config(file: &std::path::Path) -> Result<()> {
    let yaml = std::fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let environment = |name: &str| std::env::var(name).ok();
    let router = litellm_router::serve::Router::new(&yaml, &environment)
        .map_err(|wrong| anyhow!("{}: {wrong}", file.display()))?;
    for warning in router.warnings() {
        println!("{}: {warning}", file.display());
    }
    println!(
        "{}: can be read; warnings: {}",
        file.display(),
        router.warnings().len()
    );
    Ok(())
}

async fn run(chore: Chore) -> Result<()> {
    match chore {
        Chore::Build { part } => match part {
            Part::All => build::all().await,
            Part::Worker => build::worker().await,
            Part::Router => build::router().await,
            Part::Ui => build::ui().await,
            Part::Image => build::image().await,
            Part::Panics => build::panicking_worker().await,
        },
        Chore::Openapi => docs::write().await,
        Chore::Keys(keys) => keys::run(keys).await,
        Chore::CheckConfig { file } => check_config(&file),
        Chore::Bench { what } => match what {
            Bench::Upstream | Bench::Load { .. } => Ok(()),
            Bench::Router(options) => {
                let mut signals = Signals::listen()?;
                tokio::select! {
                    measured = bench::router(&options) => measured,
                    () = signals.any() => bail!("stopped before the end; nothing is written"),
                }
            }
        },
        Chore::Deploy { dry_run } => build::deploy(dry_run).await,
        Chore::Test {
            faults: true,
            rounds,
            seed,
            minutes,
            ..
        } => test::faults(rounds, seed, minutes).await,
        Chore::Test { filter, .. } => test::run_all(filter.as_deref()).await,
        Chore::Dev {
            port,
            router_port,
            data,
            provider,
            host,
            no_build,
        } => {
            let token = std::env::var("OPERATOR_TOKEN").ok();
            let token = token.filter(|token| !token.is_empty());
            let loopback = [Ipv4Addr::LOCALHOST.into(), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            if token.is_none() && !loopback.contains(&host) {
                bail!(
                    "--host {host} without authentication would let others run programs on this \
                     machine; set OPERATOR_TOKEN to a long secret, or use the default and reach it \
                     from elsewhere through ssh -L"
                );
            }
            let mut signals = Signals::listen()?;
            if !no_build {
                tokio::select! {
                    built = build::all() => built?,
                    () = signals.any() => return Ok(()),
                }
            }
            let options = StackOptions {
                host,
                port,
                router_port,
                provider,
                worker_vars: token
                    .map(|token| ("OPERATOR_TOKEN".to_owned(), token))
                    .into_iter()
                    .collect(),
                ..StackOptions::new(data)
            };
            // What has been started by then ends with what is dropped here.
            let mut stack = tokio::select! {
                stack = Stack::prepare(options) => stack?,
                () = signals.any() => return Ok(()),
            };
            // From here on there may be containers: a page that is still open asks for one at once.
            let started = tokio::select! {
                started = stack.start_workers() => started.map(|()| true),
                () = signals.any() => Ok(false),
            };
            if !matches!(started, Ok(true)) {
                stack.stop().await;
                return started.map(drop);
            }
            say(&format!("sandboxes: {}", stack.provider_reason));
            say(&format!("the model router listens on {}", stack.router_url));
            eprintln!(
                "\n  Open \x1b[1;4m{}/demo\x1b[0m   (Ctrl-C ends everything)\n",
                stack.url
            );
            let ended = tokio::select! {
                () = signals.any() => Ok(()),
                what = stack.ended() => Err(anyhow::anyhow!("{what} ended by itself; its last lines are above")),
            };
            say("ending");
            stack.stop().await;
            ended
        }
    }
}

/// The signals that end `dev`: Ctrl-C, a polite kill, a terminal that is closed.
struct Signals([tokio::signal::unix::Signal; 3]);

impl Signals {
    fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Waits for one of them.
    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(yaml: &str) -> std::result::Result<(), String> {
        let name = format!("{}-litellm_config.yaml", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, yaml).unwrap();
        let checked = check_config(&file);
        std::fs::remove_file(&file).unwrap();
        checked.map_err(|wrong| format!("{wrong:#}"))
    }

    #[test]
    fn a_configuration_is_checked_as_the_router_reads_it() {
        for wrong in [
            "router_settings:\n  cooldown_time: -1\n",
            "model_list:\n- model_name: a\n  litellm_params: {model: b, rpm: [1]}\n",
            "model_list: [\n",
        ] {
            let told = checked(wrong).unwrap_err();
            let router = litellm_router::serve::Router::new(wrong, &|_| None).unwrap_err();
            assert!(
                told.ends_with(&format!("litellm_config.yaml: {router}")),
                "{told}"
            );
            assert!(router.to_string().starts_with("line "), "{router}");
        }
        assert_eq!(checked("model_list: []\ncallbacks: [x]\n"), Ok(()));
        let missing = check_config(std::path::Path::new("/no/such/file.yaml")).unwrap_err();
        assert!(format!("{missing:#}").contains("/no/such/file.yaml cannot be read"));
        let piped = failure(&missing, false);
        assert!(piped.starts_with("error: /no/such/file.yaml") && !piped.contains('\x1b'));
        assert!(failure(&missing, true).contains('\x1b'));
    }
}
