"""What is scraped, collected and shown: the files under deploy/observability fit each other."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.unit import manifests

ROOT = pathlib.Path(__file__).parents[2]
OBSERVABILITY = ROOT / "deploy" / "observability"
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())["services"]
# The services' own name in the metrics, as dashboards and alerts know it.
JOBS = {"ratingslip", "loyalty"}


def read(name: str) -> dict[str, Any]:
    content = yaml.safe_load((OBSERVABILITY / name).read_text())
    assert isinstance(content, dict)
    return content


def test_prometheus_scrapes_each_service_under_its_own_name_where_it_listens() -> None:
    targets = {
        each["job_name"]: each["static_configs"][0]["targets"]
        for each in read("prometheus.yml")["scrape_configs"]
    }
    for job in JOBS:
        port = COMPOSE[job]["environment"]["OTEL_EXPORTER_PROMETHEUS_PORT"]
        assert targets[job] == [f"{job}:{port}"]
    (reader,) = read("collector.yaml")["service"]["telemetry"]["metrics"]["readers"]
    assert targets["collector"] == [f"collector:{reader['pull']['exporter']['prometheus']['port']}"]
    assert "--enable-feature=exemplar-storage" in COMPOSE["prometheus"]["command"]


def test_prometheus_itself_takes_its_configuration_with_every_rule() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run(
        [promtool, "check", "config", str(OBSERVABILITY / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_collector_runs_only_what_it_defines_and_takes_what_is_sent() -> None:
    collector = read("collector.yaml")
    (pipeline,) = collector["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(collector[kind])
    assert pipeline["processors"][0] == "memory_limiter"
    endpoint = collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    for service in JOBS:
        sends_to = COMPOSE[service]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert sends_to == endpoint.replace("0.0.0.0", "http://collector")


def test_the_collector_keeps_every_trace_that_failed_or_took_long() -> None:
    sampling = read("collector.yaml")["processors"]["tail_sampling"]
    kept = {each["name"]: each for each in sampling["policies"]}
    assert kept["failed"]["status_code"] == {"status_codes": ["ERROR"]}
    assert kept["slow"]["latency"] == {"threshold_ms": 250}


def test_the_collector_s_variables_are_set_wherever_it_runs() -> None:
    text = (OBSERVABILITY / "collector.yaml").read_text()
    names = {"TRACE_STORE_ENDPOINT", "TRACE_BASELINE_PERCENT"}
    assert all(f"${{env:{name}" in text for name in names)
    assert set(COMPOSE["collector"]["environment"]) == names
    assert {each["name"] for each in manifests.workload("collector").container["env"]} == names


def test_an_exemplar_leads_to_its_trace() -> None:
    sources = {
        each["uid"]: each for each in read("grafana/datasources/datasources.yaml")["datasources"]
    }
    (destination,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["name"] == "trace_id"
    assert sources[destination["datasourceUid"]]["type"] == "jaeger"
    assert {name: each["url"] for name, each in sources.items()} == {
        "prometheus": "http://prometheus:9090",
        "jaeger": "http://jaeger:16686",
    }


def test_grafana_finds_the_dashboards_where_they_are_mounted() -> None:
    (provider,) = read("grafana/dashboards/provider.yaml")["providers"]
    mounts = dict(volume.split(":")[:2] for volume in COMPOSE["grafana"]["volumes"])
    assert mounts["../observability/dashboards"] == provider["options"]["path"]


def test_the_prometheus_operator_takes_the_same_rules() -> None:
    header = (manifests.KUBERNETES / "prometheus-operator" / "rules-header.yaml").read_text()
    for name in ("rules", "alerts"):
        body = (OBSERVABILITY / f"{name}.yaml").read_text()
        indented = "".join(f"  {line}" for line in body.splitlines(keepends=True))
        (rule,) = yaml.safe_load_all(header.replace("NAME", name) + indented)
        assert rule["metadata"]["name"] == f"casino-{name}"
        assert rule["spec"] == yaml.safe_load(body)
