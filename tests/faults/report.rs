//! What was counted, as Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::Options;
use crate::kinds::Kind;
use crate::subject::Losses;

/// What a kind of fault has come to.
#[derive(Debug)]
pub struct Row {
    pub kind: Kind,
    pub rounds: u64,
    pub losses: Losses,
    /// Processes in a session's sandbox beside the two that belong there.
    pub processes: u64,
    /// Sockets that were dropped.
    pub drops: u64,
    pub recovered: Vec<Duration>,
    pub failures: Vec<String>,
}

impl Row {
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            rounds: 0,
            losses: Losses::default(),
            processes: 0,
            drops: 0,
            recovered: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub fn add(&mut self, losses: &Losses) {
        let mine = &mut self.losses;
        mine.events += losses.events;
        mine.turns += losses.turns;
        mine.lost += losses.lost;
        mine.repeated += losses.repeated;
        mine.out_of_order += losses.out_of_order;
        mine.stuck += losses.stuck;
        mine.files += losses.files;
        mine.twice += losses.twice;
    }

    /// A round that did not come to its end.
    pub fn stuck(&mut self, why: &str) {
        let line = why.lines().next().unwrap_or_default();
        self.failures.push(line.to_owned());
        self.losses.stuck += 1;
    }

    pub fn is_clean(&self) -> bool {
        let Losses {
            lost,
            repeated,
            out_of_order,
            stuck,
            files,
            ..
        } = self.losses;
        self.failures.is_empty()
            && lost + repeated + out_of_order + stuck + files + self.processes == 0
    }

    fn percentile(&self, share: f64) -> String {
        let mut all = self.recovered.clone();
        all.sort();
        let place = ((all.len() as f64 * share).ceil() as usize).clamp(1, all.len().max(1)) - 1;
        all.get(place).map_or("–".to_owned(), |time| {
            format!("{:.2} s", time.as_secs_f64())
        })
    }
}

/// The one-minute load average.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}

fn commit() -> String {
    let git = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(xtask::root())
        .output();
    let name = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    name.unwrap_or_default()
}

pub fn page(options: &Options, rows: &[Row], left_over: u64, load: &str, took: Duration) -> String {
    let mut page = format!(
        "# Faults, and what became of the sessions\n\n\
         Written by `cargo xtask test --faults`; run it to measure anew. No number here was edited.\n\n\
         Commit {}, seed {}, {} rounds of each kind asked for{}, in {} minutes. Machine: {}; one-minute load \
         average when the run began: {load}. workerd, agent-server and Claude Code are the real ones, sandboxes \
         are local processes, and the language model is scripted.\n\n\
         A client stays with each session, comes back whenever its socket is gone, and writes down all that it \
         sees. At the end the log is read once more from its beginning and compared.\n\n",
        commit(),
        options.seed,
        options.rounds,
        options.minutes.map_or(String::new(), |minutes| format!(
            " within {minutes} minutes"
        )),
        took.as_secs() / 60,
        xtask::bench::machine::description(),
    );
    page.push_str(
        "| what happens in a round | rounds | turns | events | lost | repeated | out of order | turns stuck | \
         files lost | processes too many | p50 | p99 |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let losses = &row.losses;
        let drops = match (row.drops, row.kind) {
            (0, _) => String::new(),
            (drops, Kind::SlowClient) => format!(" ({drops} times it was closed for that)"),
            (drops, _) => format!(" ({drops} times)"),
        };
        let _ = writeln!(
            page,
            "| {}{drops} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.kind.title(),
            row.rounds,
            losses.turns,
            losses.events,
            losses.lost,
            losses.repeated,
            losses.out_of_order,
            losses.stuck,
            losses.files,
            row.processes,
            row.percentile(0.5),
            row.percentile(0.99),
        );
    }
    let twice: u64 = rows.iter().map(|row| row.losses.twice).sum();
    let _ = writeln!(
        page,
        "\nProcesses that were left when the stacks had ended: {left_over}. Lines of files that were written \
         twice, as a turn was begun anew: {twice}.\n\n\
         - *p50*, *p99*: how long until it works again. After a kill, and where the storage fails: from the fault \
         until the turn has ended and another is completed. With workerd, from when it listens again. A dropped \
         socket: until the next event, the wait for one included. A slow client: from its first reading until it \
         has the whole log. A provider that fails: until the next turn is completed. Two clients: until all five \
         turns have ended. Many sessions: from the first word to the end of the first turn, the sandbox's start \
         included.\n\
         - *turns stuck*: no end within {} seconds, more than one, or something after it.\n\
         - *files lost*: lines that a completed turn has written into a file, and the next turn does not find.\n\
         - Clocks that jump are in the simulation of a session alone (`cargo test -p session`): this machine's is \
         not the tests' to change.",
        crate::subject::STUCK.as_secs(),
    );
    let failures: Vec<String> = rows
        .iter()
        .flat_map(|row| {
            row.failures
                .iter()
                .map(|why| format!("- {}: {why}", row.kind.name()))
        })
        .collect();
    if !failures.is_empty() {
        let _ = writeln!(page, "\nWhat failed:\n\n{}", failures.join("\n"));
    }
    page
}
