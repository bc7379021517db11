"""A small OpenTelemetry collector: takes spans over OTLP gRPC, files them as JSON lines.

For the embedded stack only: it keeps a bounded amount and answers no queries;
`traces.py` reads its file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from deploy.local.processes import LOOPBACK
from deploy.local.traces import Span, rotated

# A full file is moved aside once, so at most twice this much is kept: some 100,000
# spans, an hour of the demo.
MAX_FILE_BYTES = 64 * 1024 * 1024
# Nobody waits for an answer once the services have ended.
STOP_GRACE_SECONDS = 0.5
# One export holds up to 512 spans by default, and some carry long attributes.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class TraceFile:
    """Appends spans to a file, which it moves aside when it is full."""

    def __init__(self, path: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes

    def append(self, spans: list[Span]) -> None:
        """Writes one line per span, in one piece."""
        lines = "".join(f"{span.to_json()}\n" for span in spans).encode()
        if self._path.exists() and self._path.stat().st_size + len(lines) > self._max_bytes:
            self._path.replace(rotated(self._path))
        with self._path.open("ab") as file:
            file.write(lines)


class TraceSink(trace_service_pb2_grpc.TraceServiceServicer):
    """The collector's server, in the caller's event loop: `async with TraceSink(path) as sink`."""

    def __init__(self, path: Path) -> None:
        self._file = TraceFile(path)
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ]
        )
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
            self, self._server
        )
        self._port = 0

    async def __aenter__(self) -> Self:
        self._port = self._server.add_insecure_port(f"{LOOPBACK}:0")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(STOP_GRACE_SECONDS)

    @property
    def endpoint(self) -> str:
        """The URL for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://{LOOPBACK}:{self._port}"

    async def Export(
        self,
        request: trace_service_pb2.ExportTraceServiceRequest,
        _context: grpc.aio.ServicerContext[
            trace_service_pb2.ExportTraceServiceRequest,
            trace_service_pb2.ExportTraceServiceResponse,
        ],
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Files the spans before it answers, so an answered flush can be read."""
        self._file.append(spans_of(request))
        return trace_service_pb2.ExportTraceServiceResponse()


def spans_of(request: trace_service_pb2.ExportTraceServiceRequest) -> list[Span]:
    """The spans of an OTLP request."""
    return [
        _span(span, str(_attributes(resource_spans.resource.attributes).get("service.name", "")))
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def _span(span: trace_pb2.Span, service: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        service=service,
        start_unix_nanos=span.start_time_unix_nano,
        end_unix_nanos=span.end_time_unix_nano,
        status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        status_message=span.status.message,
        attributes=_attributes(span.attributes),
        events=[
            {
                "name": event.name,
                "time_unix_nanos": event.time_unix_nano,
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ],
        links=[
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": _attributes(link.attributes),
            }
            for link in span.links
        ],
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: common_pb2.AnyValue) -> Any:
    """An OTLP value as the JSON it stands for."""
    match value.WhichOneof("value"):
        case "array_value":
            return [_value(element) for element in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case "bytes_value":
            return value.bytes_value.hex()
        case None:
            return None
        case plain:
            return getattr(value, plain)
