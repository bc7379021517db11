"""docs/metrics.md and a scrape of a service, in the same words, to compare them."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from tests.integration.metrics import Scrape

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"
# A row of the page: name, name in Prometheus, kind and unit, attributes.
ROW = re.compile(r"^\| `([a-z_.]+)` \| `([a-z_]+)` \| (\w+), ([\w{}]+) \| ([^|]+) \|", re.MULTILINE)
ATTRIBUTE = re.compile(r"(\(?)`([a-z_.]+)`")
PARTS = re.compile(r"^## (?:Both services|RatingSlip|Loyalty)$", re.MULTILINE)
TABLES = re.compile("<!-- metrics: .*?-->(.*)<!-- end of metrics -->", re.DOTALL)
UNITS = {"s": "seconds", "By": "bytes"}


class Kind(NamedTuple):
    """What a metric is."""

    kind: str
    unit: str


@dataclasses.dataclass(frozen=True)
class Described:
    """A metric as the page or a scrape has it; labels are named as in Prometheus."""

    kind: Kind
    labels: frozenset[str]
    # Those that are there only when something failed, as far as the page says so.
    labels_of_failures: frozenset[str] = frozenset()


# By their names in Prometheus.
Metrics: TypeAlias = Mapping[str, Described]


class Page(NamedTuple):
    """The page's metrics, by who exports them."""

    both: Metrics
    ratingslip: Metrics
    loyalty: Metrics


def documented() -> Page:
    """What the page says. Fails where a name in Prometheus does not follow from the metric."""
    tables = TABLES.search(PAGE.read_text(encoding="utf-8"))
    assert tables
    _, *parts = PARTS.split(tables[1])
    return Page(*(_read_table(part) for part in parts))


def exported_by(scrape: Scrape) -> Metrics:
    """What a service exports, but for what says who it is."""
    return {
        name + ("_total" if family.type == "counter" else ""): Described(
            Kind(family.type, family.unit),
            frozenset(
                label
                for sample in family.samples
                for label, value in sample.labels.items()
                if value and label != "le"
            ),
        )
        for name, family in scrape.families.items()
        if name != "target"
    }


def require_labels(exported: Metrics, page: Metrics) -> None:
    """Labels that the page does not name must not be there, and the others must."""
    for name, metric in exported.items():
        usual = page[name].labels
        assert usual <= metric.labels <= usual | page[name].labels_of_failures, name


def _read_table(text: str) -> Metrics:
    found = {}
    for name, spelt, kind, unit, attributes in ROW.findall(text):
        named = [(opened, _spell(each)) for opened, each in ATTRIBUTE.findall(attributes)]
        parts = (_spell(name), UNITS.get(unit, ""), "total" if kind == "counter" else "")
        assert spelt == "_".join(filter(None, parts))
        found[spelt] = Described(
            Kind(kind, UNITS.get(unit, "")),
            frozenset(each for opened, each in named if not opened),
            frozenset(each for opened, each in named if opened),
        )
    # A row that is not understood must not be left out in silence.
    assert len(found) == text.count("\n| `")
    return found


def _spell(name: str) -> str:
    return name.replace(".", "_")
