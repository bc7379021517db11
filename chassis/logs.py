"""JSON logs: one object a line, with the correlation, trace and span ID of the moment.

Owns the shape of a log line and the one way to write it. It must not know which
events exist.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
from typing import Any

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

from chassis.context import call_if_any

# The fields that every reader relies on, in this order; nothing that is logged can set them.
COMMON_FIELDS = ("time", "level", "logger", "event", "correlation_id", "trace_id", "span_id")
# The event of a record that could not be made a line.
UNREADABLE = "log_record_unreadable"

# It says what is wrong with a caller's `tracestate`, in that caller's own words, and
# before anybody knows who is calling.
_QUOTES_STRANGERS = "opentelemetry.trace.span"

# What JSON escapes in a line: a backslash, a whole surrogate pair, or half of one.
_ESCAPED = re.compile(r"\\\\|\\ud[89ab]..\\ud[c-f]..|(?P<half>\\ud[89a-f]..)")
_REPLACEMENT_CHARACTER = "\\ufffd"


class EventFormatter(JsonFormatter):
    """Adds time, level, event and the IDs of the current call and span.

    Whatever is in a record, its line is one JSON object, in ASCII, with these fields.
    """

    def __init__(self) -> None:
        super().__init__(json_serializer=_strict_json)

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:
            # A line that is lost could be the one that somebody looks for.
            return self._line_about(record, type(error).__name__)

    def add_fields(
        self,
        log_record: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        super().add_fields(log_record, record, message_dict)
        others = {
            name: value
            for name, value in log_record.items()
            if name not in COMMON_FIELDS and name != "message"
        }
        log_record.clear()
        log_record.update(_common_fields(record, record.getMessage()) | others)

    def _line_about(self, record: logging.LogRecord, error: str) -> str:
        fields = _common_fields(record, UNREADABLE)
        place = f"{record.module}:{record.lineno}"
        return self.serialize_log_record({**fields, "place": place, "error": error})


def set_up(level: str) -> None:
    """Sends every log record to standard output as JSON.

    Standard error is left to what is not ours to format: gRPC's own C++ lines, and the
    sentence with which a start fails.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(EventFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger(_QUOTES_STRANGERS).setLevel(logging.ERROR)


def _common_fields(record: logging.LogRecord, event: str) -> dict[str, Any]:
    """The fields of COMMON_FIELDS that there are at this moment."""
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    fields = {
        "time": moment.isoformat(timespec="microseconds"),
        "level": record.levelname,
        "logger": record.name,
        "event": event,
    }
    call = call_if_any()
    if call is not None:
        fields["correlation_id"] = call.correlation_id
    span_context = trace.get_current_span().get_span_context()
    if span_context.is_valid:
        fields["trace_id"] = trace.format_trace_id(span_context.trace_id)
        fields["span_id"] = trace.format_span_id(span_context.span_id)
    return fields


def _strict_json(fields: dict[str, Any], **options: Any) -> str:
    """JSON that every reader takes: no NaN, and no half of a surrogate pair."""
    try:
        line = json.dumps(fields, allow_nan=False, **options)
    except ValueError:
        # Python would write a number that is none as a bare word; here it becomes text.
        readable = json.loads(json.dumps(fields, **options), parse_constant=str)
        line = json.dumps(readable, **options)
    return _ESCAPED.sub(_whole, line) if "\\ud" in line else line


def _whole(escaped: re.Match[str]) -> str:
    return _REPLACEMENT_CHARACTER if escaped["half"] else escaped[0]
