"""Answers for one trace over HTTP in the words of Jaeger's query API, version 3.

    GET /api/v3/traces/{trace_id}   {"result": {"resourceSpans": […]}}, OTLP as JSON

So whoever asks a trace store asks the embedded stack the same way. It reads the file of
the trace sink, has no search and no user interface, and listens on loopback only.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import re
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from deploy.local.processes import LOOPBACK
from deploy.local.traces import Span, read_trace

TRACE_PATH = re.compile(r"/api/v3/traces/([0-9a-fA-F]{1,32})")
TRACE_ID_DIGITS = 32
# A client that connects and says nothing must not hold its thread for ever.
REQUEST_TIMEOUT_SECONDS = 5.0
# How soon the server's thread sees that it is to end.
SHUTDOWN_POLL_SECONDS = 0.05
# The numbers of OTLP's enumerations, which its JSON form asks for.
KIND_NUMBERS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
STATUS_NUMBERS = {"OK": 1, "ERROR": 2}


class _QueryServer(http.server.ThreadingHTTPServer):
    # A query under way holds up nobody's exit.
    daemon_threads = True

    def __init__(self, traces_file: Path) -> None:
        super().__init__((LOOPBACK, 0), _QueryHandler)
        self.traces_file = traces_file


class _QueryHandler(http.server.BaseHTTPRequestHandler):
    server: _QueryServer
    timeout = REQUEST_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        """Answers with the trace, or NOT_FOUND in Jaeger's form."""
        asked = TRACE_PATH.fullmatch(self.path)
        if asked is None:
            self._refuse(HTTPStatus.NOT_FOUND, "only /api/v3/traces/{trace_id} is answered")
            return
        # Jaeger, too, takes an ID without its leading zeros.
        spans = read_trace(self.server.traces_file, asked.group(1).zfill(TRACE_ID_DIGITS))
        if not spans:
            self._refuse(HTTPStatus.NOT_FOUND, "No traces found")
            return
        self._answer(HTTPStatus.OK, {"result": {"resourceSpans": resource_spans(spans)}})

    def log_message(self, *_: object) -> None:
        """Says nothing: the supervisor's log is about the stack."""

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self._answer(status, {"error": {"httpCode": status.value, "message": message}})

    def _answer(self, status: HTTPStatus, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def trace_query_server(traces_file: Path) -> Iterator[str]:
    """Serves the traces of a file from a thread of its own; its URL, without a path."""
    with _QueryServer(traces_file) as server:
        thread = threading.Thread(
            target=server.serve_forever,
            args=(SHUTDOWN_POLL_SECONDS,),
            name="trace-query",
            daemon=True,
        )
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def resource_spans(spans: list[Span]) -> list[dict[str, Any]]:
    """Spans as OTLP in JSON, those of each service together."""

    def service(span: Span) -> str:
        return span.service

    return [
        {
            "resource": {"attributes": _attributes({"service.name": name})},
            "scopeSpans": [{"scope": {}, "spans": [_span(span) for span in of_service]}],
        }
        for name, of_service in itertools.groupby(sorted(spans, key=service), key=service)
    ]


def _span(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_span_id,
        "name": span.name,
        "kind": KIND_NUMBERS.get(span.kind, 0),
        # OTLP's JSON has 64-bit numbers as text.
        "startTimeUnixNano": str(span.start_unix_nanos),
        "endTimeUnixNano": str(span.end_unix_nanos),
        "attributes": _attributes(span.attributes),
        "events": [
            {
                "name": event["name"],
                "timeUnixNano": str(event["time_unix_nanos"]),
                "attributes": _attributes(event["attributes"]),
            }
            for event in span.events
        ],
        "links": [
            {
                "traceId": link["trace_id"],
                "spanId": link["span_id"],
                "attributes": _attributes(link["attributes"]),
            }
            for link in span.links
        ],
        "status": _status(span),
    }


def _status(span: Span) -> dict[str, Any]:
    code = STATUS_NUMBERS.get(span.status)
    if code is None:
        return {}
    return {"code": code, **({"message": span.status_message} if span.status_message else {})}


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(element) for element in value]}}
        case dict():
            return {"kvlistValue": {"values": _attributes(value)}}
        case None:
            return {}
        case text:
            return {"stringValue": str(text)}
