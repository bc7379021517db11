"""Spans as the trace sink files them: reading a trace back, and drawing it as a tree."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CORRELATION_ATTRIBUTE = "casino.correlation_id"
CODE_ATTRIBUTE = "rpc.response.status_code"
NANOS_PER_MILLISECOND = 1_000_000
NANOS_PER_SECOND = 1_000_000_000
# The services send their spans twice a second.
POLL_INTERVAL_SECONDS = 0.1
# By then the spans of a call that has ended are all here: twice the sending interval.
SETTLED_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Span:
    """One span; IDs are in hex, a root's `parent_span_id` is empty."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    # INTERNAL, SERVER, CLIENT, PRODUCER or CONSUMER.
    kind: str
    service: str
    start_unix_nanos: int
    end_unix_nanos: int
    # UNSET, OK or ERROR.
    status: str
    status_message: str
    attributes: dict[str, Any]
    # Each with name, time_unix_nanos and attributes.
    events: list[dict[str, Any]]
    # Each with trace_id, span_id and attributes.
    links: list[dict[str, Any]]

    def to_json(self) -> str:
        """One line of the file."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @property
    def duration_ms(self) -> float:
        """How long it took."""
        return (self.end_unix_nanos - self.start_unix_nanos) / NANOS_PER_MILLISECOND


def rotated(path: Path) -> Path:
    """Where the sink moves a full file."""
    return path.with_name(f"{path.name}.1")


def read_trace(path: Path, trace_id: str) -> list[Span]:
    """The spans of one trace, by their start; empty when there are none."""
    wanted = trace_id.lower()
    spans = {span.span_id: span for span in _spans(path, wanted) if span.trace_id == wanted}
    return sorted(spans.values(), key=lambda span: span.start_unix_nanos)


def find_traces(path: Path, attribute: str, value: str) -> list[str]:
    """The IDs of the traces with a span that carries this attribute, oldest first."""
    trace_ids: dict[str, None] = {}
    for span in _spans(path, json.dumps(value)):
        if span.attributes.get(attribute) == value:
            trace_ids[span.trace_id] = None
    return list(trace_ids)


def find_by_id(path: Path, identifier: str) -> list[list[Span]]:
    """The traces that a trace ID or a correlation ID stands for, oldest first."""
    direct = read_trace(path, identifier)
    if direct:
        return [direct]
    trace_ids = find_traces(path, CORRELATION_ATTRIBUTE, identifier)
    return [read_trace(path, trace_id) for trace_id in trace_ids]


def is_settled(spans: list[Span]) -> bool:
    """Whether there are spans, and enough time has gone by since the last one's end."""
    if not spans:
        return False
    latest = max(span.end_unix_nanos for span in spans)
    return time.time_ns() - latest >= SETTLED_SECONDS * NANOS_PER_SECOND


async def wait_for_trace(
    path: Path,
    identifier: str,
    is_complete: Callable[[list[Span]], bool],
    timeout_seconds: float,
) -> list[Span]:
    """Waits until a trace holds what `is_complete` asks for; spans arrive a little late.

    Where a correlation ID stands for several traces, all their spans count.
    Returns what there is when the time is up, complete or not.
    """
    give_up_at = time.monotonic() + timeout_seconds
    while True:
        spans = [span for trace in find_by_id(path, identifier) for span in trace]
        if is_complete(spans) or time.monotonic() >= give_up_at:
            return spans
        await asyncio.sleep(POLL_INTERVAL_SECONDS)


def render_trace(spans: list[Span]) -> str:
    """A trace as a tree: service and span name, duration, and status where it matters."""
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    roots = []
    for span in sorted(spans, key=lambda span: span.start_unix_nanos):
        if span.parent_span_id in known:
            children[span.parent_span_id].append(span)
        else:
            roots.append(span)
    rows = [row for root in roots for row in _rows(root, children, "", "")]
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join(
        f"{label:<{width}}  {span.duration_ms:>9.2f} ms  {_status(span)}".rstrip()
        for label, span in rows
    )


def _rows(
    span: Span, children: dict[str, list[Span]], first_prefix: str, prefix: str
) -> Iterator[tuple[str, Span]]:
    yield f"{first_prefix}{span.service}  {span.name}", span
    below = children[span.span_id]
    for child in below:
        is_last = child is below[-1]
        branch, continuation = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield from _rows(child, children, prefix + branch, prefix + continuation)


def _status(span: Span) -> str:
    # A server's span stays UNSET where the caller was at fault; its gRPC code tells.
    code = str(span.attributes.get(CODE_ATTRIBUTE, "OK"))
    words = ["ERROR" if span.status == "ERROR" else "", code if code != "OK" else ""]
    words.append(span.status_message)
    return " ".join(word for word in words if word) or "ok"


def _spans(path: Path, containing: str) -> Iterator[Span]:
    """The spans whose line contains a text, from the moved file and the current one."""
    for file_path in (rotated(path), path):
        try:
            file = file_path.open(encoding="utf-8")
        except FileNotFoundError:
            continue
        with file:
            for line in file:
                # Parsing all of a large file takes seconds; and a line without its end
                # is still being written.
                if containing in line and line.endswith("\n"):
                    yield Span(**json.loads(line))
