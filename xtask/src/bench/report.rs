//! What was measured, as Markdown.

use std::fmt::Write;

use super::gateways::Gateway;
use super::load::{Outcome, Spread};
use super::rows::Row;
use super::{Bench, Cell, GATEWAY_CORE, LOAD_CORE, Measured, aims, can_pin, machine};

/// From this share of its core on, upstream and clients may be what holds the throughput.
const SATURATED: f64 = 0.85;

/// A cell while the measurement goes on.
pub fn progress(row: &Row, cell: &Result<Cell, String>) -> String {
    match cell {
        Err(reason) => format!("{}: {reason}", row.title),
        Ok(cell) => {
            let outcome = &cell.outcome;
            format!(
                "{}: {:.0} a second, to the end {:.2} ms, first byte {:.2} ms, first token after {:.0} µs, {:.0} µs on the core{}",
                row.title,
                cell.rate(),
                outcome.total.p50 / 1e3,
                outcome.first_byte.p50 / 1e3,
                outcome.token.p50,
                cell.processor.unwrap_or(0.0) * 1e6,
                failures(outcome),
            )
        }
    }
}

fn failures(outcome: &Outcome) -> String {
    match &outcome.failure {
        None => String::new(),
        Some(reason) => format!("; {} FAILED: {reason}", outcome.failures),
    }
}

/// The whole report.
pub fn markdown(bench: &Bench, measured: &[Measured], missing: &[(Gateway, String)]) -> String {
    let mut page = String::new();
    // Writing to a string can't fail.
    let _ = write(&mut page, bench, measured, missing);
    page
}

fn write(
    page: &mut String,
    bench: &Bench,
    measured: &[Measured],
    missing: &[(Gateway, String)],
) -> std::fmt::Result {
    introduction(page, bench)?;
    writeln!(page, "## What was measured\n")?;
    writeln!(page, "| gateway | version | ready after | peak memory |")?;
    writeln!(page, "| --- | --- | --- | --- |")?;
    for one in measured.iter().filter(|one| one.gateway != Gateway::Direct) {
        writeln!(
            page,
            "| {} | {} | {} | {:.1} MB |",
            one.gateway.name(),
            one.version.replace('|', "/"),
            one.ready.map_or("–".to_owned(), |ready| format!(
                "{:.0} ms",
                ready.as_secs_f64() * 1e3
            )),
            one.memory.peak as f64 / 1e6,
        )?;
    }
    for (gateway, reason) in missing {
        let reason = reason.replace(['|', '\n'], " ");
        writeln!(
            page,
            "| {} | not measured: {reason} | – | – |",
            gateway.name()
        )?;
    }
    for (place, row) in bench.rows().enumerate() {
        table(page, row, place, measured)?;
    }
    chunks(page, bench, measured)?;
    let rows: Vec<_> = bench.rows().collect();
    aims::write(page, &rows, measured)?;
    many(page, measured)
}

fn introduction(page: &mut String, bench: &Bench) -> std::fmt::Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pinned = if can_pin() {
        format!(
            "Of these processes the gateway alone is on core {GATEWAY_CORE}; upstream and clients share core {LOAD_CORE}."
        )
    } else {
        "**Nothing is pinned to a core here** (no `taskset`, or a single core): gateway, upstream \
         and clients take each other's time."
            .to_owned()
    };
    writeln!(
        page,
        "# The model router, measured\n\n\
         Written by `cargo xtask {}`; run it to measure anew. No number here was edited.\n\n\
         Machine: {}. One-minute load average when the run began, before anything was started: {}; \
         other work on the machine makes times longer, and the time on the core less so; it may come \
         and go during a run, and then gateways that were measured minutes apart compare badly. All \
         processes of the measurement had the niceness {}.\n",
        arguments.join(" "),
        machine::description(),
        bench.load_before,
        machine::niceness(),
    )?;
    writeln!(
        page,
        "## Method\n\n\
         Every gateway does the same work for the same clients before the same upstream, one after \
         the other, in one run: `POST /v1/messages` in Anthropic's dialect, translated for an \
         OpenAI-compatible upstream and back. {pinned} Upstream and clients are processes of Rust on \
         one thread each (`xtask/src/bench`), with TCP_NODELAY; the upstream answers at once and \
         writes each token by itself. A request has 4 kB (a system prompt, ten tools) where nothing \
         else is said. Each client asks again when it has read its answer to the end, for {} seconds \
         a row, after a fifth of that to warm up (and more before the first row, for what compiles itself while it runs). Before, one answer is read as a client of the \
         Messages API does, and every token has to be in it; of the measured ones status and end are \
         checked.\n\n\
         - *first byte*, *end*: from the sending of a request to the first byte and the last byte of \
         its answer's body, in milliseconds.\n\
         - *added*: how much later the middle answer ends than without a gateway, with one client.\n\
         - *token*: from the upstream's writing of a token to the client's reading of it, in \
         milliseconds. Of an answer the first token counts; of a paced one, every token.\n\
         - *on the core*: time that the gateway was on a core for each answer, in microseconds. Its \
         inverse is what one core can do, and does not depend on how fast the clients are.\n\
         - *×*: how many times more than LiteLLM, in answers a second; in the last column, in answers \
         for each second on a core.\n\
         - An asterisk: upstream and clients were busy for more than {:.0} % of their core, so the \
         gateway could have done more than they asked for.\n\
         - LiteLLM runs one worker, with its log of requests off, and claude-code-router with its log \
         off; litellm-router logs one line for each call, as it does by default. *workerd* is the \
         bare runtime that Cloudflare's own tools run a Worker in, without `wrangler dev` before it.\n",
        bench.options.seconds,
        SATURATED * 100.0,
    )
}

fn table(page: &mut String, row: &Row, place: usize, measured: &[Measured]) -> std::fmt::Result {
    let cell = |gateway: Gateway| {
        let one = measured.iter().find(|one| one.gateway == gateway)?;
        one.cells.get(place)?.as_ref().ok()
    };
    let (direct, litellm) = (cell(Gateway::Direct), cell(Gateway::Litellm));
    let title = row
        .title
        .chars()
        .next()
        .map(|first| first.to_uppercase().to_string());
    let rest = row.title.get(1..).unwrap_or_default();
    writeln!(page, "\n## {}{rest}\n", title.unwrap_or_default())?;
    writeln!(
        page,
        "| gateway | answers/s | × | first byte p50 · p99 | end p50 · p99 | added | token p50 · p99 | on the core | × |"
    )?;
    writeln!(
        page,
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    for one in measured {
        let name = one.gateway.name();
        let cell = match one.cells.get(place) {
            None => continue,
            Some(Err(reason)) => {
                let reason: String = reason.chars().take(200).collect();
                let reason = reason.replace(['|', '\n'], " ");
                writeln!(page, "| {name} | could not do it: {reason} | | | | | | | |")?;
                continue;
            }
            Some(Ok(cell)) => cell,
        };
        let outcome = &cell.outcome;
        let times = |own: Option<f64>, theirs: Option<f64>| match (own, theirs) {
            (Some(own), Some(theirs)) if theirs > 0.0 => ratio(own / theirs),
            _ => "–".to_owned(),
        };
        let added = direct
            .filter(|_| one.gateway != Gateway::Direct && !row.paced && row.clients == 1)
            .map(|direct| {
                format!(
                    "{:+.2}",
                    (outcome.total.p50 - direct.outcome.total.p50) / 1e3
                )
            });
        let bound = cell.load_processor * cell.rate() > SATURATED;
        let token = match row.stream {
            true => spread(outcome.token),
            false => "–".to_owned(),
        };
        let per_core = |cell: &Cell| cell.processor.filter(|time| *time > 0.0).map(f64::recip);
        writeln!(
            page,
            "| {name}{} | {}{} | {} | {} | {} | {} | {token} | {} | {} |",
            match outcome.failures {
                0 => String::new(),
                failures => format!(" (**{failures} failed**)"),
            },
            number(cell.rate()),
            if bound { "\\*" } else { "" },
            times(Some(cell.rate()), litellm.map(|cell| cell.rate())),
            spread(outcome.first_byte),
            spread(outcome.total),
            added.unwrap_or("–".to_owned()),
            cell.processor
                .map_or("–".to_owned(), |time| number(time * 1e6)),
            times(per_core(cell), litellm.and_then(per_core)),
        )?;
    }
    Ok(())
}

/// What each further token of a stream costs, from the rows of different length.
fn chunks(page: &mut String, bench: &Bench, measured: &[Measured]) -> std::fmt::Result {
    let lengths: Vec<(usize, &Row)> = bench
        .rows()
        .enumerate()
        .filter(|(_, row)| row.stream && row.clients == 1 && !row.large && !row.paced)
        .collect();
    writeln!(
        page,
        "\n## What a token costs as a stream grows\n\n\
         Time on the core for each further token of a stream, in microseconds, from the rows above.\n"
    )?;
    let steps: Vec<_> = lengths
        .windows(2)
        .filter_map(|pair| Some((pair.first()?, pair.last()?)))
        .collect();
    write!(page, "| gateway |")?;
    for ((_, short), (_, long)) in &steps {
        write!(page, " tokens {} to {} |", short.tokens + 1, long.tokens)?;
    }
    writeln!(page, "\n| --- |{}", " ---: |".repeat(steps.len()))?;
    for one in measured.iter().filter(|one| one.gateway != Gateway::Direct) {
        write!(page, "| {} |", one.gateway.name())?;
        for (short, long) in &steps {
            let time = |place: usize| one.cells.get(place)?.as_ref().ok()?.processor;
            match (time(short.0), time(long.0)) {
                (Some(less), Some(more)) => {
                    let tokens = (long.1.tokens - short.1.tokens) as f64;
                    write!(page, " {:.1} |", (more - less) * 1e6 / tokens)?;
                }
                _ => write!(page, " – |")?,
            }
        }
        writeln!(page)?;
    }
    Ok(())
}

fn many(page: &mut String, measured: &[Measured]) -> std::fmt::Result {
    let all: Vec<_> = measured
        .iter()
        .filter_map(|one| Some((one.gateway, one.many.as_ref()?)))
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "\n## Memory over many answers\n\n\
         A process started anew, 16 clients: streams, whole answers and requests of 76 kB. Resident \
         memory when so many were given.\n"
    )?;
    for (gateway, many) in all {
        let steps: Vec<String> = many
            .resident
            .iter()
            .map(|(answers, bytes)| {
                format!(
                    "{:.1} MB after {}",
                    *bytes as f64 / 1e6,
                    number(*answers as f64)
                )
            })
            .collect();
        writeln!(
            page,
            "- {}: {}; {} failed.",
            gateway.name(),
            steps.join(", "),
            many.failures
        )?;
    }
    Ok(())
}

fn spread(spread: Spread) -> String {
    format!("{:.2} · {:.2}", spread.p50 / 1e3, spread.p99 / 1e3)
}

pub(super) fn ratio(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 10.0 => format!("{ratio:.0}"),
        ratio => format!("{ratio:.1}"),
    }
}

/// A number in groups of three digits.
fn number(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_easily() {
        assert_eq!(number(7.25), "7.2");
        assert_eq!(number(1234.4), "1,234");
        assert_eq!(number(123456.0), "123,456");
        assert_eq!(
            (ratio(123.4), ratio(1.26)),
            ("123".to_owned(), "1.3".to_owned())
        );
    }
}
