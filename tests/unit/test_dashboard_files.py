"""The dashboards' JSON is what their code makes, and no panel leaves its reader alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.observability.dashboards.__main__ import rendered
from tests import observability
from tests.databases import PROJECT_DIRECTORY
from tests.observability import DASHBOARDS_DIRECTORY

DASHBOARDS = observability.dashboards()
each_dashboard = pytest.mark.parametrize(
    "dashboard", DASHBOARDS, ids=[dashboard["uid"] for dashboard in DASHBOARDS]
)
VARIABLE = re.compile(r"\$\{?(\w+(?:\.\w+)*)\}?")
# Grafana's own, and the labels of the series that was clicked.
GIVEN = re.compile(r"__(?:from|to|rate_interval|field\.labels\.\w+)")
GRID_COLUMNS = 24


def targets(panel: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = panel["targets"]
    return found


def links(panel: dict[str, Any]) -> list[str]:
    return [link["url"] for link in panel["fieldConfig"]["defaults"].get("links", [])]


def variables_in(text: str) -> Iterator[str]:
    return (name for name in VARIABLE.findall(text) if not GIVEN.fullmatch(name))


def test_the_files_are_what_the_code_makes() -> None:
    present = {path.name: path.read_text() for path in DASHBOARDS_DIRECTORY.glob("*.json")}
    assert present == rendered(), "stale, run `make dashboards`"


@each_dashboard
def test_every_panel_says_what_it_shows_in_which_unit_and_what_to_look_for(
    dashboard: dict[str, Any],
) -> None:
    panels = observability.panels(dashboard)
    titles = [panel["title"] for panel in panels]
    assert len(titles) == len(set(titles))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        assert panel["description"].endswith("."), panel["title"]
        heatmap_unit = panel["options"].get("yAxis", {}).get("unit")
        assert panel["fieldConfig"]["defaults"].get("unit") or heatmap_unit, panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= GRID_COLUMNS


@each_dashboard
def test_every_variable_that_is_used_is_there(dashboard: dict[str, Any]) -> None:
    known = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {"datasource", "traces", "runbooks"} <= known
    assert set(variables_in(json.dumps(dashboard))) <= known | {"__all"}


@each_dashboard
def test_panels_about_failures_lead_to_traces(dashboard: dict[str, Any]) -> None:
    failures = [
        panel
        for panel in observability.panels(dashboard)
        if any('error_type!=""' in target["expr"] for target in targets(panel))
    ]
    assert failures
    for panel in failures:
        assert links(panel), panel["title"]
        for url in links(panel):
            require_search(url)


def require_search(url: str) -> None:
    """The link opens Explore with a search for failed traces; Grafana fills variables in first."""
    (panes,) = parse_qs(urlsplit(VARIABLE.sub("filled-in", url)).query)["panes"]
    (pane,) = json.loads(panes).values()
    (search,) = pane["queries"]
    assert search["queryType"] == "search"
    assert search["datasource"] == {"type": "jaeger", "uid": "filled-in"}
    assert search["service"] in {"ratingslip", "loyalty", "filled-in"}
    assert search["tags"] in {"error=true", 'error.type="filled-in"'}


@each_dashboard
def test_durations_show_single_calls(dashboard: dict[str, Any]) -> None:
    durations = [
        target
        for panel in observability.panels(dashboard)
        for target in targets(panel)
        if re.search("(call|operation)_duration_seconds_bucket", target["expr"])
    ]
    assert durations
    for panel in observability.panels(dashboard):
        histograms = [t for t in targets(panel) if t in durations]
        assert not histograms or any(target["exemplar"] for target in histograms), panel["title"]


@each_dashboard
def test_a_dashboard_leads_to_the_others_and_to_runbooks_that_exist(
    dashboard: dict[str, Any],
) -> None:
    (others,) = [link for link in dashboard["links"] if link["type"] == "dashboards"]
    assert all(set(others["tags"]) <= set(each["tags"]) for each in DASHBOARDS)
    runbooks = [link["url"] for link in dashboard["links"] if link["type"] == "link"]
    assert runbooks
    for url in runbooks:
        name = url.removeprefix("${runbooks}/")
        assert (PROJECT_DIRECTORY / "docs" / "runbooks" / name).is_file()
