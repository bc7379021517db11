"""What Prometheus is asked by our rules, alerts and dashboards, read from their files.

Knows the shape that deploy/observability/alerts.yaml gives its expressions: comparisons with a
number, joined by `and`. It must not know a metric.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from tests.databases import PROJECT_DIRECTORY

DIRECTORY = PROJECT_DIRECTORY / "deploy" / "observability"
RULES_FILE, ALERTS_FILE = DIRECTORY / "rules.yaml", DIRECTORY / "alerts.yaml"
FIXTURES_DIRECTORY = DIRECTORY / "alert_tests"
DASHBOARDS_DIRECTORY = DIRECTORY / "dashboards"

# What Grafana would put in place of its variables: everything, and a window that is long
# enough for a test.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$job": ".*"}

_COMPARISON = re.compile(r"(.+?) (>|<|==|!=|>=|<=) ([\d.]+)")
_GROUPING = re.compile(r"\b(?:by|on|without)\s*\([^)]*\)")
_SELECTOR = re.compile(r"[\w:]*\{[^{}]*\}")
_TEXT = re.compile(r'"[^"]*"')
# A name of a series by itself: functions are followed by a parenthesis, and no keyword of
# PromQL has an underscore or a colon.
_BARE_NAME = re.compile(r"\b[a-zA-Z]\w*[_:][\w:]*\b(?!\s*\()")


class Comparison(NamedTuple):
    """A part of an alert's expression; it holds when the left side is past the number."""

    left: str
    operator: str
    number: float


class Alert(NamedTuple):
    """An alert as its file has it."""

    name: str
    expression: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def comparisons(self) -> list[Comparison]:
        """The parts of the expression; fails when it is of another shape."""
        return [_comparison(part) for part in re.split(r"\s+and\s+", self.expression.strip())]


class Query(NamedTuple):
    """A query of a panel, with everything put in place of the variables."""

    dashboard: str
    panel: str
    expression: str
    exemplars: bool


def recording_rules() -> dict[str, str]:
    """The expression of each recorded series."""
    return {rule["record"]: rule["expr"] for rule in _rules(RULES_FILE)}


def alerts() -> list[Alert]:
    """All alerts."""
    return [
        Alert(rule["alert"], rule["expr"], rule["labels"], rule["annotations"])
        for rule in _rules(ALERTS_FILE)
    ]


def dashboards() -> list[dict[str, Any]]:
    """The dashboards as Grafana loads them."""
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(DASHBOARDS_DIRECTORY.glob("*.json"))
    ]


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A dashboard's panels, without the headings between them."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """Every query of every panel."""
    return [
        Query(
            dashboard["title"],
            panel["title"],
            filled_in(target["expr"]),
            target["exemplar"],
        )
        for dashboard in dashboards()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def variable_queries() -> list[str]:
    """The series from which the dashboards' variables take their values."""
    listed = re.compile(r"label_values\((.+), \w+\)")
    return [
        filled_in(found[1])
        for dashboard in dashboards()
        for variable in dashboard["templating"]["list"]
        if (found := listed.fullmatch(variable["query"]))
    ]


def filled_in(expression: str) -> str:
    """An expression of a dashboard with everything in place of its variables."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def selectors(expression: str) -> set[str]:
    """The series that an expression reads, each as a selector of its own."""
    rest = _GROUPING.sub(" ", expression)
    braced = set(_SELECTOR.findall(rest))
    rest = _TEXT.sub(" ", _SELECTOR.sub(" ", rest))
    return braced | set(_BARE_NAME.findall(rest))


def _comparison(part: str) -> Comparison:
    found = _COMPARISON.fullmatch(part)
    assert found, f"no comparison with a number: {part}"
    return Comparison(found[1], found[2], float(found[3]))


def _rules(file: Any) -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]
