"""What all dashboards are made of: queries, panels, variables, and links to traces and runbooks.

Every panel has a description that says what to look for. This file must not know a metric
of ours.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias
from urllib.parse import quote

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import heatmap as heatmap_builders
from grafana_foundation_sdk.builders import prometheus as prometheus_builders
from grafana_foundation_sdk.builders import stat as stat_builders
from grafana_foundation_sdk.builders import timeseries as timeseries_builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard, heatmap, prometheus

Panel: TypeAlias = Builder[dashboard.Panel]

# All dashboards of the pair have it, and so find each other.
TAG = "casino-loyalty"

# The variables. Each dashboard has the first three.
PROMETHEUS = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
TRACES_VARIABLE = "${traces}"
RUNBOOKS_VARIABLE = "${runbooks}"
# Where compose lets Grafana itself serve docs/runbooks.
DEFAULT_RUNBOOKS_URL = "/public/runbooks"

# A grid is 24 columns wide: three trends beside each other, or six figures.
TREND_COLUMNS, TREND_ROWS = 8, 8
FIGURE_COLUMNS, FIGURE_ROWS = 4, 4
# A quick look shows the last hour; the alerts' windows go back six.
DEFAULT_RANGE = "now-1h"
REFRESH = "30s"
FILL_OPACITY_PERCENT = 10

GREEN, ORANGE, RED = "green", "orange", "red"


class Query(NamedTuple):
    """A PromQL expression, and how its series are called."""

    expression: str
    legend: str
    # Shows single calls with their trace ID, where the metric has exemplars.
    exemplars: bool = False


class Section(NamedTuple):
    """A heading, and its panels from left to right."""

    title: str
    panels: Sequence[Panel]


class Levels(NamedTuple):
    """From where on a value is doubtful, and from where on it is bad."""

    doubtful: float | None
    bad: float


def trend(
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    *,
    links: Sequence[dashboard.DashboardLink] = (),
    levels: Levels | None = None,
    stacked: bool = False,
) -> Panel:
    """Lines over time; `levels` are drawn as lines across."""
    panel = (
        timeseries_builders.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .datasource(PROMETHEUS)
        .span(TREND_COLUMNS)
        .height(TREND_ROWS)
        .fill_opacity(FILL_OPACITY_PERCENT)
        .targets([_target(letter, query) for letter, query in _lettered(queries)])
        .data_links([_Built(link) for link in links])
        .legend(_legend())
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if levels is not None:
        panel.thresholds(_thresholds(levels))
        panel.thresholds_style(
            common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.LINE)
        )
    return panel


def figure(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    levels: Levels | None = None,
    links: Sequence[dashboard.DashboardLink] = (),
) -> Panel:
    """One number, the last, coloured by `levels`."""
    panel = (
        stat_builders.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(PROMETHEUS)
        .span(FIGURE_COLUMNS)
        .height(FIGURE_ROWS)
        .targets([_target("A", query)])
        .data_links([_Built(link) for link in links])
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    if levels is not None:
        panel.thresholds(_thresholds(levels))
    return panel


def spread(title: str, description: str, unit: str, expression: str) -> Panel:
    """A heatmap of a histogram's buckets, summed by `le`, with exemplars."""
    query = _target("A", Query(expression, "{{le}}", exemplars=True))
    return (
        heatmap_builders.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .span(TREND_COLUMNS)
        .height(TREND_ROWS)
        .targets([query.format(prometheus.PromQueryFormat.HEATMAP)])
        .y_axis(heatmap_builders.YAxisConfig().unit(unit))
        .color(
            heatmap_builders.HeatmapColorOptions()
            .mode(heatmap.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
        )
        .show_tooltip()
    )


def page(
    title: str,
    uid: str,
    description: str,
    variables: Sequence[builders.QueryVariable],
    sections: Sequence[Section],
    runbooks: Sequence[str],
) -> builders.Dashboard:
    """A dashboard that links to the others and to these runbooks. Its UID is in the alerts."""
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time(DEFAULT_RANGE, "now")
        .refresh(REFRESH)
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .variables([*_shared_variables(), *variables])
        .links([_Built(_others()), *(_Built(runbook(name)) for name in runbooks)])
    )
    for section in sections:
        # Panels inside a row would be folded away until somebody unfolds it.
        made.with_row(builders.Row(section.title))
        for panel in section.panels:
            made.with_panel(panel)
    # The SDK gives no IDs, and a link to one panel needs one.
    for number, placed in enumerate(made.build().panels or [], start=1):
        placed.id_val = number
    return made


def choice(name: str, label: str, query: str) -> builders.QueryVariable:
    """A variable with the values of a label, several or all of which can be chosen."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(selected=True, text="All", value="$__all"))
    )


def runbook(name: str) -> dashboard.DashboardLink:
    """A link to a runbook, wherever this installation shows them."""
    return _link(f"Runbook: {name}", f"{RUNBOOKS_VARIABLE}/{name}.md")


def traces(title: str, service: str, tags: str, operation: str = "") -> dashboard.DashboardLink:
    """A link to the traces of a service, in Explore, with these tags and in the panel's time.

    `tags` are Jaeger's, as in `error=true`; they may hold a label of the clicked series as
    `${__field.labels.<name>}`.
    """
    search = {
        "refId": "A",
        "datasource": {"type": "jaeger", "uid": TRACES_VARIABLE},
        "queryType": "search",
        "service": service,
        "operation": operation,
        "tags": tags,
        "limit": 20,
    }
    pane = {
        "datasource": TRACES_VARIABLE,
        "queries": [search],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    panes = _encoded(json.dumps({"traces": pane}, separators=(",", ":")))
    return _link(title, f"/explore?schemaVersion=1&orgId=1&panes={panes}")


class _Built(Builder[dashboard.DashboardLink]):
    """A link that is ready, for methods that want its builder."""

    def __init__(self, link: dashboard.DashboardLink) -> None:
        self._link = link

    def build(self) -> dashboard.DashboardLink:
        return self._link


def _encoded(text: str) -> str:
    """Percent-encoded but for `${…}`: Grafana fills variables in before the URL is decoded."""
    parts = []
    for literal, variable in _split_at_variables(text):
        parts.append(quote(literal, safe=""))
        parts.append(f"${{{variable}}}" if variable else "")
    return "".join(parts)


def _split_at_variables(text: str) -> list[tuple[str, str]]:
    pieces = text.split("${")
    split = [(pieces[0], "")]
    for piece in pieces[1:]:
        variable, _, literal = piece.partition("}")
        split[-1] = (split[-1][0], variable)
        split.append((literal, ""))
    return split


def _lettered(queries: Sequence[Query]) -> zip[tuple[str, Query]]:
    return zip(string.ascii_uppercase, queries, strict=False)


def _target(letter: str, query: Query) -> prometheus_builders.Dataquery:
    return (
        prometheus_builders.Dataquery()
        .ref_id(letter)
        .datasource(PROMETHEUS)
        .expr(query.expression)
        .legend_format(query.legend)
        .range()
        .exemplar(query.exemplars)
        .editor_mode(prometheus.QueryEditorMode.CODE)
    )


def _thresholds(levels: Levels) -> builders.ThresholdsConfig:
    steps = [dashboard.Threshold(value=None, color=GREEN)]
    if levels.doubtful is not None:
        steps.append(dashboard.Threshold(value=levels.doubtful, color=ORANGE))
    steps.append(dashboard.Threshold(value=levels.bad, color=RED))
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _shared_variables() -> list[Builder[dashboard.VariableModel]]:
    return [
        builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        builders.DatasourceVariable("traces").label("Traces").type("jaeger"),
        builders.TextBoxVariable("runbooks")
        .label("Runbooks at")
        .default_value(DEFAULT_RUNBOOKS_URL)
        .current(
            dashboard.VariableOption(
                selected=True, text=DEFAULT_RUNBOOKS_URL, value=DEFAULT_RUNBOOKS_URL
            )
        ),
    ]


def _others() -> dashboard.DashboardLink:
    return dashboard.DashboardLink(
        title="Dashboards",
        type_val=dashboard.DashboardLinkType.DASHBOARDS,
        icon="external link",
        tags=[TAG],
        keep_time=True,
    )


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(
        title=title,
        type_val=dashboard.DashboardLinkType.LINK,
        icon="doc",
        url=url,
        target_blank=True,
    )
