"""Reads a router's metrics with Prometheus's own parser, which refuses what breaks OpenMetrics."""

import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with urllib.request.urlopen(sys.argv[1] + "/metrics") as answer:
    kind = answer.headers["content-type"]
    text = answer.read().decode()
assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
families = {family.name: family for family in text_string_to_metric_families(text)}
print("parsed", flush=True)

requests = families["litellm_proxy_total_requests_metric"]
assert requests.type == "counter" and requests.documentation, requests
answered = [s for s in requests.samples if s.labels["status_code"] == "200"]
assert sum(sample.value for sample in answered) > 0, requests.samples
print("counter", flush=True)

latency = families["litellm_request_total_latency_metric"]
assert latency.type == "histogram", latency
named = lambda end: [s for s in latency.samples if s.name.endswith(end)]
endless = [sample for sample in named("_bucket") if sample.labels["le"] == "+Inf"]
assert endless and sum(s.value for s in endless) == sum(s.value for s in named("_count"))
print("histogram", flush=True)

assert families["litellm_deployment_state"].type == "gauge"
print("gauge", flush=True)
