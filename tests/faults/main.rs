//! Faults at random on the real stack, and what became of the sessions: `cargo xtask test --faults`.
//!
//! workerd, agent-server and Claude Code are the real ones; only the language model is scripted. Each
//! kind of fault has a session of its own, with a client that stays and writes down all that it sees.
//! Whatever is lost, repeated, out of order, stuck or left over is counted; `FAULTS.md` has the figures.

mod kinds;
mod report;
mod subject;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, stream};
use kinds::Kind;
use report::Row;
use world::World;
use xtask::stack::Provider;

/// How the faults are run, from the command line.
#[derive(Debug, Clone)]
pub struct Options {
    pub rounds: u64,
    pub seed: u64,
    /// No round begins after so many minutes of a kind's share.
    pub minutes: Option<f64>,
    /// A part of the kinds' names; only a run of all is written down.
    only: Option<String>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            rounds: 100,
            seed: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)?
                .as_secs(),
            minutes: None,
            only: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .with_context(|| format!("{name} has no value"))?;
            match name.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--seed" => options.seed = value.parse()?,
                "--minutes" => options.minutes = Some(value.parse()?),
                "--only" => options.only = Some(value),
                _ => bail!("no such option: {name}"),
            }
        }
        Ok(options)
    }

    fn kinds(&self) -> Vec<Kind> {
        let wanted = |kind: &Kind| {
            let only = self.only.as_deref();
            only.is_none_or(|only| kind.name().contains(only))
        };
        Kind::ALL.into_iter().filter(wanted).collect()
    }
}

/// Numbers that a seed repeats (xorshift).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64, kind: Kind) -> Self {
        let mut random = Self((seed ^ ((kind as u64 + 1) << 40)) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    pub async fn wait_below(&mut self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(self.below(milliseconds))).await;
    }
}

fn main() -> ExitCode {
    let ran = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run()));
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was lost.
async fn run() -> Result<bool> {
    let options = Options::parse()?;
    let load = report::load();
    let begin = Instant::now();
    let kinds = options.kinds();
    eprintln!(
        "seed {}, {} rounds of each kind",
        options.seed, options.rounds
    );
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let share = options.minutes.map(|minutes| {
        Duration::from_secs_f64(60.0 * minutes * at_once as f64 / kinds.len().max(1) as f64)
    });

    let (alone, together): (Vec<Kind>, Vec<Kind>) =
        kinds.iter().partition(|kind| kind.needs_a_stack());
    let mut rows = Vec::new();
    let mut left_over = 0;
    if !together.is_empty() {
        let world = World::start(Provider::Local).await?;
        let all = together.into_iter().map(|kind| {
            let (world, options) = (&world, &options);
            async move { kinds::run(kind, world, options, share).await }
        });
        rows = stream::iter(all)
            .buffer_unordered(at_once)
            .collect::<Vec<Row>>()
            .await;
        left_over += kinds::end(world).await;
    }
    for kind in alone {
        let mut world = World::start(Provider::Local).await?;
        rows.push(kinds::run_alone(kind, &mut world, &options, share).await);
        left_over += kinds::end(world).await;
    }
    rows.sort_by_key(|row| row.kind as usize);
    let page = report::page(&options, &rows, left_over, &load, begin.elapsed());
    println!("{page}");
    if options.only.is_none() {
        std::fs::write(xtask::root().join("FAULTS.md"), page)?;
    }
    Ok(left_over == 0 && rows.iter().all(Row::is_clean))
}
