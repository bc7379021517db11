"""Reads traces from a store that speaks Jaeger's query API, version 3, as Jaeger and the
embedded stack do.

Owns the shape of OTLP as JSON. It must not know what a span of ours means.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from deploy.explain.evidence import Step

# Where the query API answers for one trace.
QUERY_PATH = "api/v3/traces"
REQUEST_TIMEOUT_SECONDS = 3.0
NANOS_PER_MILLISECOND = 1_000_000
NANOS_PER_SECOND = 1_000_000_000
# OTLP's number for a span that has failed; its JSON may also spell it out.
ERROR_STATUS = (2, "STATUS_CODE_ERROR")
ERROR_TYPE = "error.type"


class TraceStoreError(Exception):
    """The store could not be asked; the message says why."""


class TraceStore:
    """Asks the store at a base URL, such as http://jaeger:16686.

    `trace_path` is where below it a person looks at a trace: Jaeger's user interface.
    """

    def __init__(self, url: str, *, trace_path: str = "trace") -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"the trace store is an http or https URL, not {url!r}")
        self._url = url.rstrip("/")
        self._trace_path = trace_path

    def link(self, trace_id: str) -> str:
        """Where a person looks at the trace."""
        return f"{self._url}/{self._trace_path}/{trace_id}"

    async def steps(self, trace_id: str) -> list[Step]:
        """The trace's spans by their start; empty when the store does not have it.

        Raises `TraceStoreError`.
        """
        found = await asyncio.to_thread(self._fetch, f"{self._url}/{QUERY_PATH}/{trace_id}")
        steps = [_step(span, service) for service, span in _spans(found)]
        return sorted(steps, key=lambda step: step.start_time)

    def _fetch(self, url: str) -> Mapping[str, Any]:
        try:
            # The URL's scheme was checked.
            with urllib.request.urlopen(url, timeout=REQUEST_TIMEOUT_SECONDS) as answer:  # noqa: S310
                content: Mapping[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return {}
            raise TraceStoreError(f"the trace store answers {error.code}") from error
        except (OSError, ValueError) as error:
            raise TraceStoreError(f"the trace store cannot be asked: {error}") from error
        return content


def _spans(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The spans with the names of their services."""
    for resource_spans in found.get("result", {}).get("resourceSpans", ()):
        resource = _attributes(resource_spans.get("resource", {}))
        for scope_spans in resource_spans.get("scopeSpans", ()):
            for span in scope_spans.get("spans", ()):
                yield resource.get("service.name", ""), span


def _step(span: Mapping[str, Any], service: str) -> Step:
    # OTLP's JSON writes 64-bit numbers as strings.
    began, ended = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    return Step(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_span_id=span.get("parentSpanId", ""),
        service=service,
        name=span["name"],
        start_time=datetime.datetime.fromtimestamp(began / NANOS_PER_SECOND, datetime.UTC),
        duration_ms=(ended - began) / NANOS_PER_MILLISECOND,
        failed=span.get("status", {}).get("code") in ERROR_STATUS,
        error_type=_attributes(span).get(ERROR_TYPE, ""),
    )


def _attributes(holder: Mapping[str, Any]) -> dict[str, str]:
    """The attributes that are strings; nothing else of them is asked for."""
    return {
        each["key"]: each["value"]["stringValue"]
        for each in holder.get("attributes", ())
        if "stringValue" in each.get("value", {})
    }
