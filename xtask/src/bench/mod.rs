//! `cargo xtask bench`: the model router beside others that do the same work, on the same machine, in
//! one run.
//!
//! | module | purpose |
//! | --- | --- |
//! | [`gateways`] | what is compared: installing, configuring, starting |
//! | [`rows`] | the kinds of work |
//! | [`requests`] | what clients send |
//! | [`upstream`] | the provider, a process of its own |
//! | [`load`] | the clients, a process of their own |
//! | [`machine`] | memory and processor time, from `/proc` |
//! | [`report`] | `litellm-router/BENCHMARKS.md` |
//! | [`aims`] | the report's part on what was aimed at and missed |

mod aims;
pub mod gateways;
pub mod load;
pub mod machine;
mod report;
mod requests;
mod rows;
pub mod upstream;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::process::{Service, output, run};
use crate::{build, root, say};
use gateways::{Gateway, Installed, Running};
use load::{Outcome, Plan};
use machine::Memory;
use rows::{ROWS, Row};

/// Gateways have a core for themselves; upstream and clients share the other.
const GATEWAY_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// How many answers the memory is watched for.
const MANY: [(Gateway, u64); 2] = [(Gateway::Native, 100_000), (Gateway::Workerd, 100_000)];

/// What is to be measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Only these, by commas; the others' rows are left out
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Gateway>,
    /// How long each gateway does each kind of work
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// A second each, one client and a row with 16, no memory over many answers, and nothing is
    /// written to BENCHMARKS.md
    #[arg(long)]
    quick: bool,
    /// Measure what was built last
    #[arg(long)]
    no_build: bool,
}

/// What one gateway has done.
struct Measured {
    gateway: Gateway,
    version: String,
    /// Of its starts, the middle one.
    ready: Option<Duration>,
    /// After all rows.
    memory: Memory,
    /// One for each row; none where it could not do it.
    cells: Vec<Result<Cell, String>>,
    many: Option<Many>,
}

/// One gateway at one kind of work.
#[derive(Debug, Clone)]
struct Cell {
    outcome: Outcome,
    /// Seconds that the gateway was on a core for each answer.
    processor: Option<f64>,
    /// The same for upstream and clients together.
    load_processor: f64,
}

impl Cell {
    /// Answers a second.
    fn rate(&self) -> f64 {
        self.outcome.answers as f64 / self.outcome.seconds.max(1e-9)
    }
}

/// Memory over many answers: how many were given, and the resident bytes then.
#[derive(Debug, Clone, Default)]
struct Many {
    resident: Vec<(u64, u64)>,
    failures: u64,
}

/// Measures the model router and writes `litellm-router/BENCHMARKS.md`.
///
/// # Errors
/// What could not be built. A foreign gateway that can't be installed is named in the report instead.
pub async fn router(options: &Options) -> Result<()> {
    let gateways: Vec<Gateway> = match options.only.is_empty() {
        true => Gateway::ALL.to_vec(),
        false => options.only.clone(),
    };
    let bench = Bench::start(options).await?;
    let mut measured = Vec::new();
    let mut missing = Vec::new();
    for gateway in gateways {
        let installed = match gateway.install(!options.no_build).await {
            Ok(installed) => installed,
            Err(error) if matches!(gateway, Gateway::Native | Gateway::Workerd) => {
                return Err(error);
            }
            Err(error) => {
                say(&format!("{} is left out: {error:#}", gateway.name()));
                missing.push((gateway, format!("{error:#}")));
                continue;
            }
        };
        match bench.measure(&installed).await {
            Ok(one) => measured.push(one),
            Err(error) => {
                say(&format!("{} is left out: {error:#}", gateway.name()));
                missing.push((gateway, format!("{error:#}")));
            }
        }
    }
    let report = report::markdown(&bench, &measured, &missing);
    bench.upstream.stop().await;
    println!("{report}");
    if !options.quick {
        let path = root().join("litellm-router/BENCHMARKS.md");
        tokio::fs::write(&path, report).await?;
        say(&format!("written to {}", path.display()));
    }
    Ok(())
}

/// A run: its options, and the upstream.
struct Bench {
    options: Options,
    load_before: String,
    /// This program, built for speed.
    program: PathBuf,
    upstream: Service,
    address: SocketAddr,
}

impl Bench {
    async fn start(options: &Options) -> Result<Self> {
        let load_before = machine::load_average();
        if !options.no_build {
            say("building upstream and clients");
            run(Command::new("cargo")
                .args(["build", "--profile", "native", "--package", "xtask"])
                .current_dir(root())
                .kill_on_drop(true))
            .await?;
        }
        let program = build::target_folder().join("native/xtask");
        let (sender, mut lines) = mpsc::unbounded_channel();
        let mut command = pinned(LOAD_CORE, &program.to_string_lossy());
        command.args(["bench", "upstream"]);
        let upstream = Service::start("upstream", &mut command, move |line| {
            let _ = sender.send(line.to_owned());
        })?;
        let line = lines.recv().await.context("the upstream did not start")?;
        let address = upstream::address(&line).with_context(|| format!("the upstream: {line}"))?;
        Ok(Self {
            options: options.clone(),
            load_before,
            program,
            upstream,
            address,
        })
    }

    async fn measure(&self, installed: &Installed) -> Result<Measured> {
        let gateway = installed.gateway;
        say(&format!("{} ({})", gateway.name(), installed.version));
        let mut measured = Measured {
            gateway,
            version: installed.version.clone(),
            ready: None,
            memory: Memory::default(),
            cells: Vec::new(),
            many: None,
        };
        let running = self.started(installed, &mut measured).await?;
        let (address, id) = running
            .as_ref()
            .map_or((self.address, None), |it| (it.address, Some(it.id)));
        self.warm(gateway, address).await;
        for row in self.rows() {
            let cell = self.cell(gateway, row, address, id).await;
            let cell = cell.map_err(|error| format!("{error:#}"));
            eprintln!("    {}", report::progress(row, &cell));
            measured.cells.push(cell);
        }
        if let Some(running) = running {
            measured.memory = Memory::of(running.id);
            if !running.lives() {
                bail!("it ended by itself");
            }
            running.stop().await;
        }
        let many = MANY.iter().find(|(which, _)| *which == gateway);
        if let Some((_, answers)) = many
            && !self.options.quick
        {
            measured.many = Some(self.many(installed, *answers).await?);
        }
        Ok(measured)
    }

    /// Starts it as often as its start is timed; the last one goes on.
    async fn started(
        &self,
        installed: &Installed,
        measured: &mut Measured,
    ) -> Result<Option<Running>> {
        let mut times = Vec::new();
        let mut running: Option<Running> = None;
        // Once more than is timed: the first reads its files from the disk.
        let starts = installed.gateway.starts();
        for start in 0..=starts {
            if starts == 0 {
                break;
            }
            if let Some(before) = running.take() {
                before.stop().await;
            }
            let started = installed.start(self.address).await?;
            if start > 0 {
                times.push(started.ready);
            }
            running = Some(started);
        }
        times.sort_unstable();
        measured.ready = times.get(times.len() / 2).copied();
        Ok(running)
    }

    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        let quick = self.options.quick;
        ROWS.iter().filter(move |row| !quick || row.is_quick())
    }

    async fn cell(
        &self,
        gateway: Gateway,
        row: &Row,
        address: SocketAddr,
        id: Option<i32>,
    ) -> Result<Cell> {
        let seconds = self.seconds();
        let mut plan = Plan {
            address,
            body: row.body(&gateway.model(row.model)),
            tokens: row.tokens,
            stream: row.stream,
            clients: row.clients,
            time_ms: (seconds * 200.0) as u64,
            requests: u64::MAX,
        };
        // Warm: connections, caches, what is compiled while it runs.
        self.load(&plan).await?;
        plan.time_ms = (seconds * 1000.0) as u64;
        let before = id.map(machine::processor_seconds);
        let upstream_before = machine::processor_seconds(self.upstream.id());
        let (outcome, client) = self.load(&plan).await?;
        let upstream = machine::processor_seconds(self.upstream.id()) - upstream_before;
        let answers = outcome.answers.max(1) as f64;
        let processor = id
            .zip(before)
            .map(|(id, before)| (machine::processor_seconds(id) - before) / answers);
        Ok(Cell {
            processor,
            load_processor: (upstream + client) / answers,
            outcome,
        })
    }

    /// What compiles itself while it runs (V8 compiles Wasm twice) has done so before the first row.
    async fn warm(&self, gateway: Gateway, address: SocketAddr) {
        for row in ROWS.iter().filter(|row| row.clients == 16) {
            let plan = Plan {
                address,
                body: row.body(&gateway.model(row.model)),
                tokens: row.tokens,
                stream: row.stream,
                clients: row.clients,
                time_ms: (self.seconds() * 500.0) as u64,
                requests: u64::MAX,
            };
            // What it can't do is said in its row.
            let _ = self.load(&plan).await;
        }
    }

    fn seconds(&self) -> f64 {
        match self.options.quick {
            true => 1.0,
            false => self.options.seconds,
        }
    }

    /// Resident memory after a tenth of the answers, half of them, all.
    async fn many(&self, installed: &Installed, answers: u64) -> Result<Many> {
        let gateway = installed.gateway;
        let running = installed.start(self.address).await?;
        let mut many = Many::default();
        let mut given = 0;
        // Streams and whole answers, large requests and small ones.
        let rows: Vec<&Row> = ROWS.iter().filter(|row| row.clients == 16).collect();
        for share in [1_u64, 4, 5] {
            for row in &rows {
                let requests = answers * share / 10 / rows.len() as u64;
                let plan = Plan {
                    address: running.address,
                    body: row.body(&gateway.model(row.model)),
                    tokens: row.tokens,
                    stream: row.stream,
                    clients: row.clients,
                    time_ms: 600_000,
                    requests,
                };
                let (outcome, _) = self.load(&plan).await?;
                given += outcome.answers;
                many.failures += outcome.failures;
            }
            let resident = Memory::of(running.id).now;
            eprintln!("    {given} answers: {:.1} MB", resident as f64 / 1e6);
            many.resident.push((given, resident));
        }
        running.stop().await;
        Ok(many)
    }

    /// Has the clients carry out a plan in their own process. Gives the seconds that they were on a
    /// core, too.
    async fn load(&self, plan: &Plan) -> Result<(Outcome, f64)> {
        // As a file: a large request is longer than an argument may be.
        let file = gateways::bench_folder().join("plan.json");
        tokio::fs::write(&file, serde_json::to_string(plan)?).await?;
        let mut command = pinned(LOAD_CORE, &self.program.to_string_lossy());
        command
            .args(["bench", "load"])
            .arg(&file)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let printed = output(&mut command).await?;
        let told: Result<(Outcome, f64), String> =
            serde_json::from_str(&printed).context("what the clients have printed")?;
        told.map_err(anyhow::Error::msg)
    }
}

/// A command that runs on one core, where this machine can do that.
fn pinned(core: usize, program: &str) -> Command {
    if !can_pin() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), program]);
    command
}

fn can_pin() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    cores > LOAD_CORE && std::env::split_paths(&paths).any(|path| path.join("taskset").exists())
}

/// The upstream, in a process of its own.
///
/// # Errors
/// Where it can't listen.
pub fn run_upstream() -> Result<()> {
    single_threaded()?.block_on(upstream::serve())
}

/// The clients, in a process of their own: prints what came of the plan and their processor time, or
/// why its first answer is wrong.
///
/// # Errors
/// Where the plan can't be read.
pub fn run_load(plan: &Path) -> Result<()> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(plan)?)?;
    let outcome = single_threaded()?.block_on(load::run(plan));
    let own = i32::try_from(std::process::id())?;
    let printed = outcome
        .map(|outcome| (outcome, machine::processor_seconds(own)))
        .map_err(|error| format!("{error:#}"));
    println!("{}", serde_json::to_string(&printed)?);
    Ok(())
}

fn single_threaded() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
