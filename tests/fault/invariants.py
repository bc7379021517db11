"""The one checker, run after every fault: waits until it is quiet, then judges everything.

Owns the order of the checks and how their findings are told. What must hold stands in
the files named `…_checks.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

from tests.databases import LOYALTY, RATINGSLIP
from tests.fault.evidence import Evidence, read_evidence
from tests.fault.history import History
from tests.fault.history_checks import (
    check_deeds,
    check_errors,
    check_nothing_else,
    check_order,
)
from tests.fault.ledger_checks import (
    check_balances,
    check_chains,
    check_floors,
    check_payments,
)
from tests.fault.pool_checks import require_whole_pool
from tests.fault.process_checks import check_connections, check_logs, check_processes
from tests.fault.service_checks import (
    check_ledger,
    check_lists,
    check_replays,
    check_strangers,
    lists_of,
)
from tests.fault.stage import Stage
from tests.integration.patience import PATIENCE_SECONDS, POLL_INTERVAL_SECONDS, eventually

# What fits on a page; the first ones are those that matter.
MOST_FINDINGS = 20

_PENDING = """
    SELECT id::text FROM ratingslip.rating_slip WHERE loyalty_state = 'PENDING' ORDER BY 1
"""
# Idle connections wait for work; every other state is work.
_AT_WORK = """
    SELECT state || ': ' || query FROM pg_stat_activity
    WHERE datname = current_database() AND usename = $1 AND state <> 'idle'
"""


async def require_invariants(
    stage: Stage, history: History, poisoned: Collection[str] = ()
) -> None:
    """Fails with every finding unless all invariants hold; call it when the fault is over.

    `history` holds every write of its casinos; `poisoned` are the slips that Loyalty must
    have refused for good. The history is written beside the services' logs first, and
    what is judged is read from there.
    """
    path = stage.directory / "history.jsonl"
    history.write(path)
    findings = await find_violations(stage, History.read(path), poisoned)
    assert not findings, _told(findings, path)


async def find_violations(
    stage: Stage, history: History, poisoned: Collection[str] = ()
) -> list[str]:
    """Every finding, when it is quiet; empty when all invariants hold."""
    before = await settled_evidence(stage)
    casino_ids = sorted({name[0] for name in (*before.slips_by_id, *before.standings)})
    findings = [*check_errors(history), *check_logs(stage)]
    listed = {casino_id: await lists_of(stage, casino_id) for casino_id in casino_ids}
    for check in (
        *(check_ledger(stage, casino_id) for casino_id in casino_ids),
        check_strangers(stage, casino_ids, before),
        check_replays(stage, history),
        check_processes(stage),
        check_connections(stage),
    ):
        findings += [finding async for finding in check]
    # Judged by what is there at the very end: a repeated call must not have written.
    after = await settled_evidence(stage)
    for casino_id in casino_ids:
        findings += check_lists(casino_id, listed[casino_id], before, after)
    # Last, because it writes: in a casino of its own.
    findings += [finding async for finding in check_pools(stage)]
    return [*judged(after, history, poisoned), *findings]


def judged(evidence: Evidence, history: History, poisoned: Collection[str] = ()) -> Iterator[str]:
    """What is wrong by the rows alone."""
    yield from check_payments(evidence, poisoned)
    yield from check_balances(evidence)
    yield from check_chains(evidence)
    yield from check_floors(evidence)
    yield from check_deeds(evidence, history)
    yield from check_nothing_else(evidence, history)
    yield from check_order(evidence, history)


async def check_pools(stage: Stage) -> AsyncIterator[str]:
    """Each pool has all of its connections to give: none is lost to a caller who has gone."""
    for service in (LOYALTY, RATINGSLIP):
        try:
            await require_whole_pool(stage, service)
        except (AssertionError, ExceptionGroup) as error:
            yield f"{service} cannot use all of its connections: {error!r}"


async def quiet(stage: Stage) -> None:
    """Returns when both services serve, no slip is PENDING, and nobody is at work; nobody asks.

    Gives up when for as long as patience lasts no further slip has got its points.
    """
    for service in (LOYALTY, RATINGSLIP):
        assert any(each.service is service for each in stage.running), f"{service} does not run"
    await stage.serving()
    pending = await _pending(stage)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while pending:
        assert time.monotonic() < give_up_at, f"still PENDING: {pending[:MOST_FINDINGS]}"
        await asyncio.sleep(POLL_INTERVAL_SECONDS)
        left = await _pending(stage)
        if len(left) < len(pending):
            pending, give_up_at = left, time.monotonic() + PATIENCE_SECONDS
    await eventually(lambda: _is_idle(stage), "nobody is at work in the databases")


async def settled_evidence(stage: Stage) -> Evidence:
    """Both databases at one moment at which nothing moves."""

    async def unmoved() -> Evidence | None:
        await quiet(stage)
        first, second = await _read(stage), await _read(stage)
        return second if first.size == second.size else None

    return await eventually(unmoved, "nothing moves any more")


async def _read(stage: Stage) -> Evidence:
    async with stage.superuser(LOYALTY) as loyalty, stage.superuser(RATINGSLIP) as ratingslip:
        return await read_evidence(loyalty, ratingslip)


async def _pending(stage: Stage) -> list[str]:
    async with stage.superuser(RATINGSLIP) as superuser:
        return [row[0] for row in await superuser.fetch(_PENDING)]


async def _is_idle(stage: Stage) -> bool:
    for service in (LOYALTY, RATINGSLIP):
        async with stage.superuser(service) as superuser:
            if await superuser.fetch(_AT_WORK, service.service_role):
                return False
    return True


def _told(findings: list[str], path: Path) -> str:
    shown = "\n".join(findings[:MOST_FINDINGS])
    return f"{len(findings)} findings, by the history in {path}:\n{shown}"
