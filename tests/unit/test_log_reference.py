"""docs/logs.md and the schema beside it name every event that the code can log, and no other."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from chassis.logs import UNREADABLE
from docs import log_reference
from docs.log_events import EVENTS, Event
from docs.log_fields import COMMON
from tests.unit.logged_events import logged_events

ROOT = log_reference.ROOT
PACKAGES = ("chassis", "ratingslip_service", "loyalty_service")
DOCUMENTED = {event.name: event for event in EVENTS}
LOGGED = logged_events(ROOT, [path for each in PACKAGES for path in (ROOT / each).rglob("*.py")])

EXAMPLE = re.compile(r"^```json\n(.*)\n```$", re.MULTILINE)
LINE = {
    "time": "2026-11-22T09:30:12.345678+00:00",
    "level": "INFO",
    "logger": "chassis.server",
    "event": "health",
    "serving": True,
}


def by_name(event: Event) -> str:
    return event.name


def test_page_and_schema_are_what_the_table_makes_of_them() -> None:
    for page, wanted in log_reference.pages().items():
        assert page.read_text(encoding="utf-8") == wanted, "run `make tables`"


def test_every_event_in_the_code_is_documented_and_no_other() -> None:
    # What the formatter itself makes of a record is no call of a logger.
    assert DOCUMENTED.keys() == LOGGED.keys() | {UNREADABLE}
    assert len(DOCUMENTED) == len(EVENTS)


@pytest.mark.parametrize("name", LOGGED)
def test_an_event_has_the_loggers_levels_and_fields_of_the_code(name: str) -> None:
    documented, logged = DOCUMENTED[name], LOGGED[name]
    fields = {field.name for field in documented.fields}

    assert set(documented.loggers) == logged.loggers
    assert logged.levels <= set(documented.levels)
    assert logged.fields <= fields
    # What is spread into it cannot be told from the code; running services are held to it.
    assert logged.is_open or fields == logged.fields


@pytest.mark.parametrize("event", EVENTS, ids=by_name)
def test_no_field_has_a_name_that_a_logger_refuses_or_that_all_lines_have(event: Event) -> None:
    refused = logging.makeLogRecord({}).__dict__.keys() - {"exc_info"} | {"message", "asctime"}
    taken = refused | {field.name for field in COMMON}
    names = [field.name for field in event.fields]
    assert not taken & set(names)
    assert len(set(names)) == len(names)


def test_the_example_on_the_page_is_a_right_line() -> None:
    (example,) = EXAMPLE.findall(log_reference.PAGE.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(log_reference.json_schema())
    assert list(validator.iter_errors(json.loads(example))) == []


@pytest.mark.parametrize(
    ("changes", "is_right"),
    [
        ({}, True),
        ({"correlation_id": "my-first-close", "trace_id": "a" * 32, "span_id": "b" * 16}, True),
        ({"logger": "asyncio", "event": "Task was destroyed", "task": 1}, True),
        ({"time": "2026-11-22 09:30:12"}, False),
        ({"correlation_id": "two words"}, False),
        ({"level": "ERROR"}, False),
        ({"logger": "rpc"}, False),
        ({"event": "healthy"}, False),
        ({"serving": "yes"}, False),
        ({"note": "Dinner for two"}, False),
    ],
)
def test_the_schema_tells_right_lines_from_wrong_ones(
    changes: dict[str, Any], is_right: bool
) -> None:
    validator = jsonschema.Draft202012Validator(log_reference.json_schema())
    validator.check_schema(log_reference.json_schema())
    assert validator.is_valid({**LINE, **changes}) is is_right
