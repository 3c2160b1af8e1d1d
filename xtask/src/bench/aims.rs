//! What was aimed at, which rows fall short of it, and what holds them. The prose has no number in it
//! that the run did not measure, so that it stays true whatever a run finds.

use std::fmt::Write;

use super::gateways::Gateway;
use super::report::ratio;
use super::rows::Row;
use super::{Cell, Measured};

struct Aim {
    gateway: Gateway,
    /// How many times LiteLLM's answers a second.
    times: f64,
    /// Microseconds that are added to the middle answer, with one client.
    added: f64,
    holds: &'static str,
}

const AIMS: [Aim; 2] = [
    Aim {
        gateway: Gateway::Native,
        times: 100.0,
        added: 300.0,
        holds: "A token that the upstream writes by itself goes on by itself, before the next is there. \
                So each one wakes the gateway, which asks the kernel to read it and to write it, and \
                wakes the client: that, and not its translation, is most of what a further token costs. \
                Tokens that wait in the connection already go on together; to wait for more of them \
                would cost fewer calls of the kernel and delay every token. A large request is parsed \
                once and written once in the other dialect, which is what it takes longer than a small \
                one. Upstream and clients share a core: where a row has an asterisk, they are what \
                holds it, and with one client nothing runs beside anything else, so that each process \
                that has to wake counts in full.",
    },
    Aim {
        gateway: Gateway::Workerd,
        times: 30.0,
        added: 1_000.0,
        holds: "A Worker of plain JavaScript that reads a stream token by token and writes it token by \
                token, and does nothing else, spends a large part of this before any Wasm has run: \
                workerd makes a promise, an object and a copy of each piece on either side. Only a \
                stream that workerd passes on whole is spared that, and such a stream cannot be \
                translated. Reading into a buffer of the Worker's own, a byte stream that is pulled, \
                and bringing together what comes while a write is under way were tried, without a clear \
                gain. The memory is more the JavaScript engine's than the router's: what it came to is above, in the \
                first table, and below, over many answers.",
    },
];

/// The section of the report, empty where none of ours was measured.
pub fn write(page: &mut String, rows: &[&'static Row], measured: &[Measured]) -> std::fmt::Result {
    let ours = AIMS
        .iter()
        .filter(|aim| of(measured, aim.gateway).is_some());
    let mut is_first = true;
    for aim in ours {
        if std::mem::take(&mut is_first) {
            writeln!(page, "\n## What holds the figures that are missed")?;
        }
        writeln!(
            page,
            "\n{}: the aim was {} times LiteLLM's answers a second, and {} ms added.\n",
            aim.gateway.name(),
            aim.times,
            aim.added / 1e3,
        )?;
        let (slow, late) = missed(aim, rows, measured);
        list(page, "fewer answers", &slow)?;
        list(page, "more added", &late)?;
        writeln!(page, "\n{}", aim.holds)?;
    }
    Ok(())
}

fn list(page: &mut String, what: &str, rows: &[String]) -> std::fmt::Result {
    match rows {
        [] => writeln!(page, "- {what}: in no row."),
        rows => writeln!(page, "- {what}: {}.", rows.join("; ")),
    }
}

/// The rows in which an aim is missed, each with what was measured: first by answers a second, then by
/// what is added.
fn missed(aim: &Aim, rows: &[&'static Row], measured: &[Measured]) -> (Vec<String>, Vec<String>) {
    let (mut slow, mut late) = (Vec::new(), Vec::new());
    for (place, row) in rows.iter().enumerate().filter(|(_, row)| !row.paced) {
        let cell =
            |gateway| -> Option<&Cell> { of(measured, gateway)?.cells.get(place)?.as_ref().ok() };
        let Some(own) = cell(aim.gateway) else {
            continue;
        };
        if let Some(litellm) = cell(Gateway::Litellm) {
            let times = own.rate() / litellm.rate();
            if times < aim.times {
                slow.push(format!("{} ({} times)", row.title, ratio(times)));
            }
        }
        if let Some(direct) = cell(Gateway::Direct)
            && row.clients == 1
        {
            let added = own.outcome.total.p50 - direct.outcome.total.p50;
            if added > aim.added {
                late.push(format!("{} ({:+.2} ms)", row.title, added / 1e3));
            }
        }
    }
    (slow, late)
}

fn of(measured: &[Measured], gateway: Gateway) -> Option<&Measured> {
    measured.iter().find(|one| one.gateway == gateway)
}

#[cfg(test)]
mod tests {
    use super::super::load::{Outcome, Spread};
    use super::super::machine::Memory;
    use super::super::rows::ROWS;
    use super::*;

    fn measured(gateway: Gateway, answers: [u64; 2], ends: [f64; 2]) -> Measured {
        let cell = |(answers, p50): (u64, f64)| {
            Ok(Cell {
                outcome: Outcome {
                    answers,
                    seconds: 1.0,
                    total: Spread { p50, p99: p50 },
                    ..Outcome::default()
                },
                processor: None,
                load_processor: 0.0,
            })
        };
        Measured {
            gateway,
            version: String::new(),
            ready: None,
            memory: Memory::default(),
            cells: answers.into_iter().zip(ends).map(cell).collect(),
            many: None,
        }
    }

    #[test]
    fn rows_that_fall_short_are_named_with_what_was_measured() {
        let rows: Vec<&'static Row> = ROWS.iter().take(2).collect();
        let all = [
            measured(Gateway::Direct, [9_000, 9_000], [100.0, 100.0]),
            measured(Gateway::Native, [1_000, 500], [500.0, 9_000.0]),
            measured(Gateway::Litellm, [10, 10], [90_000.0, 90_000.0]),
        ];
        let mut page = String::new();
        write(&mut page, &rows, &all).unwrap();
        let second = format!("- fewer answers: {} (50 times).\n", rows[1].title);
        assert!(page.contains(&second), "{page}");
        // What is added is told of one client alone.
        let first = format!("- more added: {} (+0.40 ms).\n", rows[0].title);
        assert!(page.contains(&first), "{page}");
        assert!(!page.contains("workerd"), "{page}");
        assert!(AIMS.iter().all(|aim| !aim.holds.contains(char::is_numeric)));
    }
}
