"""A log line is one JSON object with the fields that everybody relies on, whatever is logged."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chassis import context
from chassis.context import Call, Deadline
from chassis.logs import COMMON_FIELDS, UNREADABLE, EventFormatter
from docs.log_fields import COMMON

LOGGER_NAME = "loyalty_telemetry"
EVENT = "POINTS_UPDATE_REQUESTED"
CORRELATION_ID = "close-of-the-day"
EXAMPLES = 300
# What ends a line for some reader, or is no character, or ends a string in C or JSON.
AWKWARD = [
    "\n",
    "\r\n",
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b",
    "\0",
    "\ud800",
    "\udfff",
    '"',
    "\\",
    "{",
]
RECORD_ATTRIBUTES = ["message", "asctime", "name", "args", "msg", "levelname", "exc_info"]


class Unprintable:
    """A value that has no words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __repr__(self) -> str:
        return "Unprintable()"


def hostile_text() -> st.SearchStrategy[str]:
    pieces = st.one_of(st.text(max_size=20), st.sampled_from(AWKWARD), st.just("\\ud800" * 3))
    return st.lists(pieces, max_size=8).map("".join)


def hostile_values() -> st.SearchStrategy[object]:
    simple = st.one_of(
        hostile_text(),
        st.text(max_size=5).map(lambda text: text.ljust(10_000, "\u2028")),
        st.floats(),
        st.integers(),
        st.binary(max_size=20),
        st.none(),
        st.booleans(),
        st.just(Unprintable()),
    )
    return st.one_of(simple, st.dictionaries(hostile_text(), simple), st.lists(simple))


def hostile_names() -> st.SearchStrategy[str]:
    return st.one_of(
        hostile_text(), st.sampled_from(COMMON_FIELDS), st.sampled_from(RECORD_ATTRIBUTES)
    )


def line_of(logged: Any, fields: dict[str, object], **attributes: object) -> str:
    """The line that comes of a record inside a call; `fields` are what `extra` gives it."""
    # A logger refuses names of a record's own, which no record can then have.
    own = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime"}
    record = logging.makeLogRecord({name: fields[name] for name in fields.keys() - own})
    record.__dict__.update(
        {"name": LOGGER_NAME, "levelname": "INFO", "levelno": logging.INFO, "msg": logged}
    )
    record.__dict__.update(attributes)
    entered = context.enter_call(Call("a.b/C", CORRELATION_ID, Deadline.after(1)))
    try:
        return EventFormatter().format(record)
    finally:
        context.leave_call(entered)


def read_line(line: str) -> dict[str, Any]:
    """The object of a line; fails for all that a strict reader would not take."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(pairs) == len({name for name, _ in pairs}), pairs
        return dict(pairs)

    assert line.isascii()
    assert line.splitlines() == [line]
    found = json.loads(line, parse_constant=refuse, object_pairs_hook=once)
    assert isinstance(found, dict)
    # Half a surrogate pair is no text, and many databases take no line with one.
    json.dumps(found, ensure_ascii=False).encode("utf-8")
    return found


def require_common_fields(found: dict[str, Any]) -> None:
    assert found["level"] == "INFO"
    assert found["logger"] == LOGGER_NAME
    assert found["correlation_id"] == CORRELATION_ID
    assert found["time"].endswith("+00:00")
    assert "trace_id" not in found
    assert "span_id" not in found


@settings(max_examples=EXAMPLES)
@given(st.dictionaries(hostile_names(), hostile_values(), max_size=5))
@example(dict.fromkeys(COMMON_FIELDS, "forged"))
@example({"note": math.nan, "deep": {"er": [math.inf]}})
@example({"note": "\\ud800 \ud83d\ude00 \ud800"})
@example({"note": Unprintable()})
def test_no_field_ends_a_line_or_takes_the_place_of_a_common_one(fields: dict[str, object]) -> None:
    found = read_line(line_of(EVENT, fields))

    require_common_fields(found)
    assert found["event"] in (EVENT, UNREADABLE)


@settings(max_examples=EXAMPLES)
@given(st.one_of(hostile_text(), st.dictionaries(hostile_names(), hostile_values(), max_size=5)))
@example({"event": "forged", "time": "forged", "name": "forged", "args": ["%d"], "message": ""})
def test_no_event_does_either(logged: str | dict[str, object]) -> None:
    require_common_fields(read_line(line_of(logged, {})))


@pytest.mark.parametrize(
    ("logged", "attributes"),
    [
        ("%d of %d", {"args": ("some",)}),
        (EVENT, {"exc_info": "no exception"}),
        ({"field": Unprintable(), ("no", "name"): 1}, {}),
    ],
    ids=["arguments that do not fit", "no exception", "a name that is none"],
)
def test_a_record_that_is_no_line_is_told_of_by_where_it_was_logged(
    logged: object, attributes: dict[str, object]
) -> None:
    found = read_line(line_of(logged, {}, module="ledger", lineno=12, **attributes))

    require_common_fields(found)
    assert found["event"] == UNREADABLE
    assert found["place"] == "ledger:12"
    assert found["error"]


def test_what_can_be_read_is_as_it_was_logged() -> None:
    text = 'Ž\u2028\n"quoted" \\ud800 😀\0'

    found = read_line(line_of(EVENT, {"note": text, "points": 2**80, "share": math.inf}))

    assert found["note"] == text
    assert found["points"] == 2**80
    assert found["share"] == "Infinity"


def test_the_common_fields_are_the_documented_ones() -> None:
    assert tuple(field.name for field in COMMON) == COMMON_FIELDS
