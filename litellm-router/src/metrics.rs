//! `GET /metrics`: numbers of this process, under LiteLLM's names where it has them
//! (<https://docs.litellm.ai/docs/proxy/prometheus>), in the text format of OpenMetrics
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>). It is written here, as that is little, and
//! a library for it would take 25 kB of the Worker's Wasm.
//!
//! Labels come from the configuration and from short fixed lists alone: what callers write, such as a
//! model that a pattern matched, must not make the list of numbers grow.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::answer::{Answer, Body};
use crate::error::ErrorClass;
use crate::relay::{Ending, Record};

/// Seconds. LiteLLM's calls take from milliseconds (a cache) to minutes (an agent's long answer).
const BUCKETS: [f64; 13] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// What the numbers of a family are, and what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Requests,
    InputTokens,
    OutputTokens,
    CachedTokens,
    Spend,
    TotalLatency,
    FirstToken,
    Failures,
    Successes,
    Fallbacks,
    InFlight,
    State,
}

impl Family {
    /// Name, type, and explanation.
    fn about(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Requests => (
                "litellm_proxy_total_requests_metric",
                "counter",
                "Calls by model, route, status, how they ended and what the cache had",
            ),
            Self::InputTokens => (
                "litellm_input_tokens_metric",
                "counter",
                "Tokens of requests that came from no cache",
            ),
            Self::OutputTokens => (
                "litellm_output_tokens_metric",
                "counter",
                "Tokens of answers",
            ),
            Self::CachedTokens => (
                "litellm_cached_tokens_metric",
                "counter",
                "Tokens of requests that came from the provider's cache",
            ),
            Self::Spend => (
                "litellm_spend_metric",
                "counter",
                "US dollars, of calls whose price is known",
            ),
            Self::TotalLatency => (
                "litellm_request_total_latency_metric",
                "histogram",
                "Seconds from the request to the end of the answer",
            ),
            Self::FirstToken => (
                "litellm_llm_api_time_to_first_token_metric",
                "histogram",
                "Seconds from the request to the beginning of the answer",
            ),
            Self::Failures => (
                "litellm_deployment_failure_responses",
                "counter",
                "Attempts that failed, by deployment and class of error",
            ),
            Self::Successes => (
                "litellm_deployment_success_responses",
                "counter",
                "Attempts that were answered",
            ),
            Self::Fallbacks => (
                "litellm_deployment_successful_fallbacks",
                "counter",
                "Calls that another group than the one asked for has answered",
            ),
            Self::InFlight => ("litellm_deployment_in_flight", "gauge", "Calls under way"),
            Self::State => (
                "litellm_deployment_state",
                "gauge",
                "0: may be asked, 2: cooling down",
            ),
        }
    }
}

/// One number of a family, or what is counted for its histogram.
#[derive(Debug, Clone, Copy)]
enum Number {
    Whole(u64),
    Dollars(f64),
    /// How many were at most each of [`BUCKETS`], how many there were, and their sum.
    Seconds([u64; BUCKETS.len()], u64, f64),
}

/// By family and labels. The labels are written as they stand between the braces.
type Numbers = BTreeMap<(Family, String), Number>;

/// The numbers.
#[derive(Debug, Default)]
pub struct Metrics {
    numbers: Mutex<Numbers>,
}

impl Metrics {
    /// A deployment has answered.
    pub fn succeeded(&self, model_id: &str) {
        let labels = labels(&[("model_id", model_id)]);
        count(&mut self.lock(), Family::Successes, labels, 1);
    }

    /// A deployment has failed.
    pub fn failed(&self, model_id: &str, class: ErrorClass) {
        let labels = labels(&[("model_id", model_id), ("exception_class", class.name())]);
        count(&mut self.lock(), Family::Failures, labels, 1);
    }

    /// A call is over.
    pub fn over(&self, record: &Record) {
        let trail = &record.trail;
        let model = labels(&[("model", &trail.group)]);
        let call = labels(&[
            ("model", &trail.group),
            ("route", trail.route),
            ("status_code", &record.status.to_string()),
            ("outcome", record.outcome.name()),
            ("cache", trail.cache.name()),
        ]);
        let numbers = &mut *self.lock();
        count(numbers, Family::Requests, call, 1);
        if record.outcome == Ending::Refused {
            return;
        }
        let usage = &trail.usage;
        let fallback = trail.fallbacks > 0 && record.status == 200;
        for (family, more) in [
            (Family::InputTokens, usage.input_tokens),
            (Family::OutputTokens, usage.output_tokens),
            (Family::CachedTokens, usage.cache_read_input_tokens),
            (Family::Fallbacks, fallback.into()),
        ] {
            if more > 0 {
                count(numbers, family, model.clone(), more);
            }
        }
        if let Some(cost) = trail.cost.filter(|cost| *cost > 0.0) {
            let spend = numbers.entry((Family::Spend, model.clone()));
            if let Number::Dollars(spent) = spend.or_insert(Number::Dollars(0.0)) {
                *spent += cost;
            }
        }
        observe(
            numbers,
            Family::TotalLatency,
            model.clone(),
            record.total_ms,
        );
        observe(numbers, Family::FirstToken, model, record.first_ms);
    }

    /// How a deployment is doing at this moment.
    pub fn stands(&self, model_id: &str, in_flight: u32, cooling: bool) {
        let labels = labels(&[("model_id", model_id)]);
        let state = if cooling { 2 } else { 0 };
        let numbers = &mut *self.lock();
        numbers.insert((Family::State, labels.clone()), Number::Whole(state));
        let in_flight = Number::Whole(in_flight.into());
        numbers.insert((Family::InFlight, labels), in_flight);
    }

    /// All numbers.
    pub fn answer(&self) -> Answer {
        let mut written = String::new();
        // Writing to memory cannot fail.
        let _ = write(&mut written, &self.lock());
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Answer {
            status: 200,
            headers: vec![("content-type".into(), kind.into())],
            body: Body::Whole(written.into_bytes()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        // Each change of a number is whole, so what a panic left is sound.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Labels as they stand between the braces.
fn labels(all: &[(&str, &str)]) -> String {
    let mut written = String::new();
    for (name, value) in all {
        if !written.is_empty() {
            written.push(',');
        }
        written.push_str(name);
        written.push_str("=\"");
        for character in value.chars() {
            match character {
                '\n' => written.push_str("\\n"),
                '"' | '\\' => written.extend(['\\', character]),
                _ => written.push(character),
            }
        }
        written.push('"');
    }
    written
}

fn count(numbers: &mut Numbers, family: Family, labels: String, more: u64) {
    let number = numbers.entry((family, labels)).or_insert(Number::Whole(0));
    if let Number::Whole(number) = number {
        *number = number.saturating_add(more);
    }
}

fn observe(numbers: &mut Numbers, family: Family, labels: String, ms: u64) {
    let seconds = ms as f64 / 1_000.0;
    let none = Number::Seconds([0; BUCKETS.len()], 0, 0.0);
    let number = numbers.entry((family, labels)).or_insert(none);
    if let Number::Seconds(buckets, all, sum) = number {
        for (bucket, most) in buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= most);
        }
        *all += 1;
        *sum += seconds;
    }
}

fn write(to: &mut String, numbers: &Numbers) -> fmt::Result {
    let mut last = None;
    for ((family, labels), number) in numbers {
        let (name, kind, help) = family.about();
        if last.replace(family) != Some(family) {
            writeln!(to, "# HELP {name} {help}.\n# TYPE {name} {kind}")?;
        }
        match number {
            Number::Whole(number) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                writeln!(to, "{name}{suffix}{{{labels}}} {number}")?;
            }
            Number::Dollars(number) => writeln!(to, "{name}_total{{{labels}}} {number:?}")?,
            Number::Seconds(buckets, all, sum) => {
                for (most, bucket) in BUCKETS.iter().zip(buckets) {
                    writeln!(to, "{name}_bucket{{{labels},le=\"{most:?}\"}} {bucket}")?;
                }
                writeln!(to, "{name}_bucket{{{labels},le=\"+Inf\"}} {all}")?;
                writeln!(to, "{name}_sum{{{labels}}} {sum:?}")?;
                writeln!(to, "{name}_count{{{labels}}} {all}")?;
            }
        }
    }
    to.write_str("# EOF\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_openmetrics() {
        let metrics = Metrics::default();
        metrics.succeeded("a\\b\"c\nd");
        metrics.succeeded("e");
        metrics.succeeded("e");
        metrics.stands("e", 3, true);
        {
            let numbers = &mut *metrics.lock();
            observe(numbers, Family::FirstToken, labels(&[("model", "m")]), 50);
            observe(
                numbers,
                Family::FirstToken,
                labels(&[("model", "m")]),
                400_000,
            );
        }
        let mut written = String::new();
        write(&mut written, &metrics.lock()).unwrap();
        insta::assert_snapshot!(written);
    }
}
