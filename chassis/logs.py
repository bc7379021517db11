"""JSON logs: one object a line, with the correlation, trace and span ID of the moment.

Owns the shape of a log line and the one way to write it. It must not know which
events exist.
"""

from __future__ import annotations

import datetime
import logging
import sys
from typing import Any

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

from chassis.context import call_if_any

# It says what is wrong with a caller's `tracestate`, in that caller's own words, and
# before anybody knows who is calling.
_QUOTES_STRANGERS = "opentelemetry.trace.span"


class EventFormatter(JsonFormatter):
    """Adds time, level, event and the IDs of the current call and span."""

    def add_fields(
        self,
        log_record: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        log_record["time"] = moment.isoformat(timespec="microseconds")
        log_record["level"] = record.levelname
        log_record["logger"] = record.name
        log_record["event"] = record.getMessage()
        call = call_if_any()
        if call is not None:
            log_record["correlation_id"] = call.correlation_id
        span_context = trace.get_current_span().get_span_context()
        if span_context.is_valid:
            log_record["trace_id"] = trace.format_trace_id(span_context.trace_id)
            log_record["span_id"] = trace.format_span_id(span_context.span_id)
        super().add_fields(log_record, record, message_dict)
        log_record.pop("message", None)


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
