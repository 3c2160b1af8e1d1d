//! `GET /metrics`: numbers of this process, under LiteLLM's names where it has them
//! (<https://docs.litellm.ai/docs/proxy/prometheus>), in OpenMetrics' text format.
//!
//! Labels come from the configuration and from short fixed lists alone: what callers write, such as a
//! model that a pattern matched, must not make the list of numbers grow.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::answer::{Answer, Body};
use crate::api::Api;
use crate::error::ErrorClass;
use crate::relay::Record;

/// Seconds. LiteLLM's calls take from milliseconds (a cache) to minutes (an agent's long answer).
const BUCKETS: [f64; 13] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    /// `model_name` in the configuration.
    model: String,
    route: &'static str,
    status_code: u16,
    outcome: &'static str,
    cache: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    model_id: String,
    exception_class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Deployment {
    model_id: String,
}

/// The numbers.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Call, Counter>,
    input_tokens: Family<Model, Counter>,
    output_tokens: Family<Model, Counter>,
    cached_tokens: Family<Model, Counter>,
    spend: Family<Model, Counter<f64, std::sync::atomic::AtomicU64>>,
    total_latency: Family<Model, Histogram>,
    first_token: Family<Model, Histogram>,
    failures: Family<Failure, Counter>,
    successes: Family<Deployment, Counter>,
    fallbacks: Family<Model, Counter>,
    in_flight: Family<Deployment, Gauge>,
    state: Family<Deployment, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram = || Histogram::new(BUCKETS);
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            input_tokens: Family::default(),
            output_tokens: Family::default(),
            cached_tokens: Family::default(),
            spend: Family::default(),
            total_latency: Family::new_with_constructor(histogram),
            first_token: Family::new_with_constructor(histogram),
            failures: Family::default(),
            successes: Family::default(),
            fallbacks: Family::default(),
            in_flight: Family::default(),
            state: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "litellm_proxy_total_requests_metric",
            "Calls by model, route, status, how they ended and what the cache had",
            metrics.requests.clone(),
        );
        registry.register(
            "litellm_input_tokens_metric",
            "Tokens of requests that came from no cache",
            metrics.input_tokens.clone(),
        );
        registry.register(
            "litellm_output_tokens_metric",
            "Tokens of answers",
            metrics.output_tokens.clone(),
        );
        registry.register(
            "litellm_cached_tokens_metric",
            "Tokens of requests that came from the provider's cache",
            metrics.cached_tokens.clone(),
        );
        registry.register(
            "litellm_spend_metric",
            "US dollars, of calls whose price is known",
            metrics.spend.clone(),
        );
        registry.register(
            "litellm_request_total_latency_metric",
            "Seconds from the request to the end of the answer",
            metrics.total_latency.clone(),
        );
        registry.register(
            "litellm_llm_api_time_to_first_token_metric",
            "Seconds from the request to the beginning of the answer",
            metrics.first_token.clone(),
        );
        registry.register(
            "litellm_deployment_failure_responses",
            "Attempts that failed, by deployment and class of error",
            metrics.failures.clone(),
        );
        registry.register(
            "litellm_deployment_success_responses",
            "Attempts that were answered",
            metrics.successes.clone(),
        );
        registry.register(
            "litellm_deployment_successful_fallbacks",
            "Calls that another group than the one asked for has answered",
            metrics.fallbacks.clone(),
        );
        registry.register(
            "litellm_deployment_in_flight",
            "Calls under way",
            metrics.in_flight.clone(),
        );
        registry.register(
            "litellm_deployment_state",
            "0: may be asked, 2: cooling down",
            metrics.state.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// A deployment has answered.
    pub fn succeeded(&self, model_id: &str) {
        let model_id = model_id.to_owned();
        self.successes.get_or_create(&Deployment { model_id }).inc();
    }

    /// A deployment has failed.
    pub fn failed(&self, model_id: &str, class: ErrorClass) {
        let failure = Failure {
            model_id: model_id.to_owned(),
            exception_class: class.name(),
        };
        self.failures.get_or_create(&failure).inc();
    }

    /// A call is over.
    pub fn over(&self, record: &Record) {
        let trail = &record.trail;
        let model = Model {
            model: trail.group.clone(),
        };
        let call = Call {
            model: trail.group.clone(),
            route: match trail.api {
                Api::Messages if !trail.counts => "/v1/messages/count_tokens",
                Api::Messages => "/v1/messages",
                Api::Chat => "/v1/chat/completions",
            },
            status_code: record.status,
            outcome: record.outcome.name(),
            cache: trail.cache.name(),
        };
        self.requests.get_or_create(&call).inc();
        let usage = &trail.usage;
        for (family, tokens) in [
            (&self.input_tokens, usage.input_tokens),
            (&self.output_tokens, usage.output_tokens),
            (&self.cached_tokens, usage.cache_read_input_tokens),
        ] {
            if tokens > 0 {
                family.get_or_create(&model).inc_by(tokens);
            }
        }
        if let Some(cost) = trail.cost.filter(|cost| *cost > 0.0) {
            self.spend.get_or_create(&model).inc_by(cost);
        }
        if trail.fallbacks > 0 && record.status == 200 {
            self.fallbacks.get_or_create(&model).inc();
        }
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        let total = self.total_latency.get_or_create(&model);
        total.observe(seconds(record.total_ms));
        drop(total);
        let first = self.first_token.get_or_create(&model);
        first.observe(seconds(record.first_ms));
    }

    /// How a deployment is doing at this moment.
    pub fn stands(&self, model_id: &str, in_flight: u32, cooling: bool) {
        let deployment = Deployment {
            model_id: model_id.to_owned(),
        };
        let gauge = self.in_flight.get_or_create(&deployment);
        gauge.set(in_flight.into());
        drop(gauge);
        let state = self.state.get_or_create(&deployment);
        state.set(if cooling { 2 } else { 0 });
    }

    /// All numbers.
    pub fn answer(&self) -> Answer {
        let mut written = String::new();
        // Writing to memory cannot fail.
        let _ = text::encode(&mut written, &self.registry);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Answer {
            status: 200,
            headers: vec![("content-type".into(), kind.into())],
            body: Body::Whole(written.into_bytes()),
        }
    }
}
