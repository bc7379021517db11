"""What must be true of the processes when a fault is over: alive, idle, and no fuller than before.

Looks from outside only: at the kernel's books, at PostgreSQL's, at the logs. It must not
know what was asked of the services.
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Iterator

from tests.databases import LOYALTY, RATINGSLIP
from tests.fault.process_facts import facts_of
from tests.fault.stage import Stage
from tests.integration.logs import errors_beside
from tests.integration.services import ServiceProcess

# The services' own default, and the health probe's connection beside the pool.
POOL_SIZE = 10
PROBE_CONNECTIONS = 1
LOOKS = 5
# gRPC and the resolver of names keep a few threads for the next storm.
MORE_THREADS = 8
# Beside the pool's connections: the callers' channels, and what was accepted for health.
MORE_FILE_DESCRIPTORS = 12
# How a process ends that a test has signalled. What it says itself, in good order or with
# a clear word, is 0 or one of sysexits.h; 1 is Python's, for a stack.
SIGNALLED = (-signal.SIGKILL, -signal.SIGTERM)
# Errors that are somebody's business and no fault of the code.
EXPECTED_ERRORS = {"slip_completion_failed", "slip_refused"}
# A stack beside these says why a warning came, and no more.
EXPECTED_STACKS = {"database_unreachable"}
# The exporters' own complaints about a collector that is away.
EXPORTERS = "opentelemetry."


async def check_processes(stage: Stage) -> AsyncIterator[str]:
    """Each service runs, none has crashed, and no process holds more than a pool's worth."""
    for service in (LOYALTY, RATINGSLIP):
        if not any(each.service is service for each in stage.running):
            yield f"{service} does not run"
    for process in stage.started:
        if process.has_ended:
            code = await process.ended()
            if code == 1 or (code < 0 and code not in SIGNALLED):
                yield f"{process.service} ended with {code}: {process.log.text()[-2000:]}"
            continue
        first, now = stage.first_facts.get(process), facts_of(process.process_id)
        if first is None:
            continue
        if now.threads > first.threads + MORE_THREADS:
            yield f"{process.service} has {now.threads} threads, and had {first.threads}"
        more = stage.pool_size(process.service, POOL_SIZE) + MORE_FILE_DESCRIPTORS
        if now.file_descriptors > first.file_descriptors + more:
            yield (
                f"{process.service} has {now.file_descriptors} files open,"
                f" and had {first.file_descriptors}"
            )


async def check_connections(stage: Stage) -> AsyncIterator[str]:
    """No backend is left behind at work, and each process has a pool of them at most."""
    for service in (LOYALTY, RATINGSLIP):
        replicas = sum(each.service is service for each in stage.running)
        most = replicas * (stage.pool_size(service, POOL_SIZE) + PROBE_CONNECTIONS)
        # One that is being replaced may be there twice for a moment.
        looks = [len(await stage.postgres.backends(stage.databases[service])) for _ in range(LOOKS)]
        if min(looks) > most:
            yield f"{service} has {min(looks)} connections, and {most} are its own"


def check_logs(stage: Stage) -> Iterator[str]:
    """No service has logged a fault of its own, nor written a stack."""
    for process in stage.started:
        yield from _check_log(process)


def _check_log(process: ServiceProcess) -> Iterator[str]:
    for line in process.log.lines():
        event = json.loads(line)
        name = event["event"]
        if event.get("logger", "").startswith(EXPORTERS):
            continue
        if event["level"] in ("ERROR", "CRITICAL") and name not in EXPECTED_ERRORS:
            yield f"{process.service} logged {line}"
        elif "exc_info" in event and name not in EXPECTED_STACKS:
            yield f"{process.service} logged a stack: {line}"
    errors = errors_beside(process.log.path).read_text(encoding="utf-8")
    if "Traceback" in errors:
        yield f"{process.service} wrote on standard error: {errors}"
