"""docs/extension.md talks of code and metrics that there are."""

from __future__ import annotations

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extension.md").read_text(encoding="utf-8")
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
FUNCTION = re.compile(r"`(?:\w+\.)?(\w+)\(\)`")
METRIC = re.compile(r"\b((?:casino|rpc|db|process)_[a-z_]+)")
# What Prometheus adds to a histogram's name.
OF_A_HISTOGRAM = re.compile(r"_(count|sum|bucket)$")


def test_every_function_that_the_page_names_is_there() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for package in ("ratingslip_service", "loyalty_service")
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".sql")
    )
    named = set(FUNCTION.findall(PAGE))
    assert named
    declared = re.compile(r"(?:def |FUNCTION \w+\.)(\w+)\(")
    assert named - set(declared.findall(code)) == set()


def test_every_metric_that_the_page_names_is_measured() -> None:
    # A label has a prefix of its kind, too; it stands inside braces.
    named = METRIC.findall(re.sub(r"\{[^}]*\}", "", PAGE))
    measured = set(re.findall(r"`([a-z_]+)`", METRICS))
    assert named
    assert {OF_A_HISTOGRAM.sub("", name) for name in named} - measured == set()
