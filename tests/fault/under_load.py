"""The frame around a fault of the database: clients at work before, meanwhile and after.

Owns what must hold when it is over: nothing lost, the same processes, all of their
connections. It must not know what the fault is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.databases import SERVICES
from tests.fault.invariants import quiet, require_invariants
from tests.fault.pool_checks import require_whole_pool
from tests.fault.recorder import USUAL_DEADLINE_SECONDS
from tests.fault.stage import Stage
from tests.fault.workload import CLIENTS, Workload
from tests.integration.patience import PATIENCE_SECONDS

# The same clients do the same things in every run.
SEED = 17
# So many more answers say that the clients are at work, and after the fault that they
# have gone on.
SEVERAL_ANSWERS = 40


@contextlib.asynccontextmanager
async def under_load(
    stage: Stage, *, clients: int = CLIENTS, deadline_seconds: float = USUAL_DEADLINE_SECONDS
) -> AsyncIterator[Workload]:
    """Clients are at work, and the block is the fault; afterwards everything must hold."""
    workload = Workload(stage, SEED, clients=clients, deadline_seconds=deadline_seconds)
    processes = list(stage.running)
    async with workload.running():
        await keeps_answering(workload)
        yield workload
        await keeps_answering(workload)
    await quiet(stage)
    for service in SERVICES:
        await require_whole_pool(stage, service)
    await require_invariants(stage, workload.history)
    assert stage.running == processes, "a service was started again"


async def keeps_answering(workload: Workload) -> None:
    """Returns when several more operations have been acknowledged."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await workload.acknowledges(SEVERAL_ANSWERS)
