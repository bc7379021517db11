"""Trace backends of a test's own: real Jaeger where it is installed, and the embedded sink.

Both take OTLP over gRPC and answer Jaeger's query API. This file knows processes and
addresses, and no span.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local.processes import LOOPBACK, bound_command, free_port
from deploy.local.trace_query import trace_query_server
from deploy.local.trace_sink import TraceSink
from tests.integration.patience import eventually

# Names the program; else it is looked for on the path.
PROGRAM_VARIABLE = "TEST_JAEGER"
SYSTEM_PROGRAM = "jaeger"
# More than a test makes.
MOST_TRACES = 1_000


class TraceBackend(NamedTuple):
    """Where spans are sent to, and where traces are asked for."""

    otlp_endpoint: str
    query_url: str


def jaeger_program() -> str | None:
    """The program to run, Jaeger 2; None when this machine has none."""
    return os.environ.get(PROGRAM_VARIABLE) or shutil.which(SYSTEM_PROGRAM)


@contextlib.asynccontextmanager
async def embedded_backend(directory: Path) -> AsyncIterator[TraceBackend]:
    """What the local stack has: a file, and a server that answers from it."""
    traces_file = directory / "traces.jsonl"
    async with TraceSink(traces_file) as sink:
        with trace_query_server(traces_file) as query_url:
            yield TraceBackend(sink.endpoint, query_url)


@contextlib.asynccontextmanager
async def jaeger_backend(program: str, directory: Path) -> AsyncIterator[TraceBackend]:
    """Jaeger with its memory for storage; it does not outlive the process that runs the tests."""
    otlp, query, grpc_query = free_port(), free_port(), free_port()
    configuration = directory / "jaeger.yaml"
    # JSON is YAML.
    configuration.write_text(json.dumps(_configuration(otlp, query, grpc_query)), encoding="utf-8")
    with (directory / "jaeger.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *bound_command([program, "--config", str(configuration)], signal.SIGKILL),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        await eventually(lambda: _listens(query), "Jaeger answers")
        await eventually(lambda: _listens(otlp), "Jaeger takes spans")
        yield TraceBackend(f"http://{LOOPBACK}:{otlp}", f"http://{LOOPBACK}:{query}")
    finally:
        process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


def _configuration(otlp_port: int, query_port: int, grpc_query_port: int) -> dict[str, Any]:
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}
            },
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
        },
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": MOST_TRACES}}}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": f"{LOOPBACK}:{query_port}"},
                "grpc": {"endpoint": f"{LOOPBACK}:{grpc_query_port}"},
            },
        },
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"{LOOPBACK}:{otlp_port}"}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    }
