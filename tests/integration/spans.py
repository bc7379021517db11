"""Traces as the tests read them: waiting for a call's spans, and drawing them as a tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.local.traces import Span, wait_for_trace
from tests.integration.patience import PATIENCE_SECONDS


async def spans_of_call(traces_file: Path, identifier: str, *servers: str) -> list[Span]:
    """The spans of a call, by trace or correlation ID, once these services have answered it.

    A process files a span when it ends, so a call's own comes after all of its steps'.
    """

    def is_complete(spans: list[Span]) -> bool:
        return [span.service for span in spans if span.kind == "SERVER"] == list(servers)

    spans = await wait_for_trace(traces_file, identifier, is_complete, PATIENCE_SECONDS)
    assert is_complete(spans), outline(spans)
    return spans


def only(spans: list[Span], name: str, kind: str = "") -> Span:
    """The one span of a name, which an RPC shares between client and server."""
    (found,) = [span for span in spans if short(span.name) == name and kind in ("", span.kind)]
    return found


def outline(spans: list[Span]) -> str:
    """The tree: a line for each span, indented below its parent, with the status if it failed."""
    known = {span.span_id for span in spans}
    roots = [span for span in spans if span.parent_span_id not in known]
    return "\n".join(line for root in roots for line in _lines(root, spans, ""))


def short(name: str) -> str:
    """A span's name without the package of an RPC."""
    return name.rpartition(".")[2] if "/" in name else name


def _lines(span: Span, spans: list[Span], indent: str) -> Iterator[str]:
    status = "" if span.status != "ERROR" else f" ERROR {span.status_message}"
    yield f"{indent}{span.service} {span.kind} {short(span.name)}{status}"
    for child in spans:
        if child.parent_span_id == span.span_id:
            yield from _lines(child, spans, f"{indent}  ")
