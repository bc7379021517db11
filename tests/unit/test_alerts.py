"""Alerts: each fires, is silent and ends when it should, and tells a person where to go.

promtool judges the rules by the fixtures in deploy/observability/alert_tests; that there is a
fixture for every alert is checked here, also where promtool is not installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests import observability
from tests.databases import PROJECT_DIRECTORY
from tests.observability import ALERTS_FILE, FIXTURES_DIRECTORY, RULES_FILE, Alert

# `make test` needs Python and make only; .ci/run installs promtool, so there it is never skipped.
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool on the path")
FIXTURES = sorted(FIXTURES_DIRECTORY.glob("*.yaml"))
ALERTS = observability.alerts()
RUNBOOKS = {
    "saga-recovery",
    "correlation-tracing",
    "drift",
    "chain-broken",
    "key-rotation",
    "database-failover",
    "rate-limit",
}
SEVERITIES = {"page", "ticket"}
PAGE = PROJECT_DIRECTORY / "docs" / "dashboards.md"

EXPECTATION = re.compile(r'ALERTS\{alertname="(\w+)", alertstate="firing"\}')
SECONDS = {"h": 3600, "m": 60, "s": 1}
# A row of the page's table: name, severity, when it fires, what it means, runbook.
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| .+ \| .+ \| \[[^]]+\]\(([^)]+)\) \|$", re.MULTILINE)
# Shorter than this, a description does not say what somebody sees and loses.
SHORTEST_DESCRIPTION_WORDS = 20


class Case(NamedTuple):
    """What a fixture expects of an alert at a time."""

    scenario: str
    alert: str
    time_seconds: int
    fires: bool


def cases() -> Iterator[Case]:
    for path in FIXTURES:
        fixture: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        for scenario in fixture["tests"]:
            for expected in scenario["promql_expr_test"]:
                if found := EXPECTATION.fullmatch(expected["expr"]):
                    yield Case(
                        scenario["name"],
                        found[1],
                        seconds(expected["eval_time"]),
                        bool(expected["exp_samples"]),
                    )


def seconds(duration: str) -> int:
    """A duration as Prometheus writes it."""
    parts = re.findall(r"(\d+)([hms])", duration)
    return sum(int(number) * SECONDS[unit] for number, unit in parts)


def promtool(*arguments: str | Path) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "rules", RULES_FILE, ALERTS_FILE)


@needs_promtool
@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_alerts_fire_are_silent_and_end_as_the_fixtures_say(fixture: Path) -> None:
    promtool("test", "rules", fixture)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_fixtures_in_which_it_fires_and_does_not_and_ends(alert: Alert) -> None:
    about = [case for case in cases() if case.alert == alert.name]
    firing = [case for case in about if case.fires]
    silent = [case for case in about if not case.fires]

    assert firing
    assert any(
        before.scenario == case.scenario and before.time_seconds < case.time_seconds
        for case in firing
        for before in silent
    ), "no fixture shows it silent before it fires"
    assert any(
        after.scenario == case.scenario and after.time_seconds > case.time_seconds
        for case in firing
        for after in silent
    ), "no fixture shows it end"


def test_the_fixtures_are_about_alerts_that_there_are() -> None:
    names = [alert.name for alert in ALERTS]
    assert {case.alert for case in cases()} == set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_compares_series_that_are_there_with_numbers(alert: Alert) -> None:
    recorded = observability.recording_rules()
    for part in alert.comparisons:
        for name in observability.selectors(part.left):
            # What has a colon is recorded by us; the live test looks for the others.
            assert ":" not in name or name in recorded


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_what_somebody_loses_and_where_to_go(alert: Alert) -> None:
    assert set(alert.labels) == {"severity"}
    assert alert.labels["severity"] in SEVERITIES
    assert set(alert.annotations) == {"summary", "description", "runbook", "dashboard"}
    assert len(alert.annotations["description"].split()) >= SHORTEST_DESCRIPTION_WORDS
    runbook = PROJECT_DIRECTORY / alert.annotations["runbook"]
    assert alert.annotations["runbook"] == f"docs/runbooks/{runbook.name}"
    assert runbook.stem in RUNBOOKS
    assert runbook.is_file()
    paths = {f"/d/{dashboard['uid']}" for dashboard in observability.dashboards()}
    assert alert.annotations["dashboard"] in paths


def test_the_page_lists_every_alert_with_its_severity_and_runbook() -> None:
    listed = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert listed == [
        (
            alert.name,
            alert.labels["severity"],
            alert.annotations["runbook"].removeprefix("docs/"),
        )
        for alert in ALERTS
    ]
