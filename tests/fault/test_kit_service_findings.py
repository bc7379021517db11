"""Whatever the services themselves get wrong, or leave behind, a check of the kit finds it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import json
import signal
from collections.abc import AsyncIterator, Iterator, Sequence

import asyncpg

from tests.databases import LOYALTY
from tests.fault.evidence import Row
from tests.fault.ground import Ground, require_found
from tests.fault.history import Acknowledged, History, Verb
from tests.fault.invariants import find_violations
from tests.fault.process_checks import (
    POOL_SIZE,
    PROBE_CONNECTIONS,
    check_connections,
    check_logs,
    check_processes,
)
from tests.fault.process_facts import ProcessFacts
from tests.fault.service_checks import (
    check_ledger,
    check_lists,
    check_replays,
    check_strangers,
    lists_of,
)
from tests.fault.stage import Stage
from tests.fault.workload import Workload
from tests.integration.casino import new_id
from tests.integration.logs import errors_beside

# Some of each verb are among so many.
ENOUGH_WORK = 60


async def worked(stage: Stage) -> History:
    """What a workload has done."""
    workload = Workload(stage, seed=1)
    async with workload.running():
        await workload.acknowledges(ENOUGH_WORK)
    return workload.history


async def all_of(findings: AsyncIterator[str]) -> list[str]:
    return [finding async for finding in findings]


async def test_nothing_is_found_where_nothing_is_wrong(ground: Ground) -> None:
    assert await find_violations(ground.stage, ground.history) == []


async def test_a_repeated_call_that_answers_with_another_entry_is_found(ground: Ground) -> None:
    history = copy.deepcopy(ground.history)
    for operation in history.acknowledged():
        assert isinstance(operation.outcome, Acknowledged)
        operation.outcome = dataclasses.replace(
            operation.outcome, slip_id=new_id(), entry_id=new_id()
        )

    findings = await all_of(check_replays(ground.stage, history))

    require_found("repeated, it was answered with", findings)


async def test_a_repeated_call_that_is_done_again_is_found(stage: Stage) -> None:
    history = await worked(stage)
    rewards = copy.deepcopy(history)
    rewards.operations = [each for each in rewards if each.verb is Verb.MANUAL_REWARD]
    for operation in rewards:
        # As if the service did not look at the key.
        operation.request["idempotency_key"] = new_id()

    findings = await all_of(check_replays(stage, rewards))

    require_found("repeated, it was done again", findings)
    require_found("nobody asked for entry", await find_violations(stage, history))


async def test_a_repeated_call_that_is_refused_is_found(ground: Ground) -> None:
    history = copy.deepcopy(ground.history)
    history.operations = [
        each for each in history.acknowledged() if each.verb is Verb.MANUAL_REWARD
    ]
    for operation in history:
        operation.request["points"] = "1234567"

    findings = await all_of(check_replays(ground.stage, history))

    require_found("repeated, it was refused: IDEMPOTENCY_KEY_CONFLICT", findings)


async def test_rows_of_another_casino_in_a_list_are_found(ground: Ground) -> None:
    own, other = sorted(ground.history.casino_ids)
    listed, evidence = await lists_of(ground.stage, other), ground.evidence

    findings = list(check_lists(own, listed, evidence, evidence))

    require_found("is shown entries that are not its own", findings)
    require_found("is shown slips that are not its own", findings)
    require_found("is not shown entries of its own", findings)
    require_found("is not shown slips of its own", findings)
    twice = listed._replace(slips=listed.slips * 2)
    require_found("slips twice", list(check_lists(other, twice, evidence, evidence)))


async def test_what_another_casino_can_read_is_found(ground: Ground) -> None:
    looker, other = sorted(ground.history.casino_ids)
    # As if everything that the one has were the other's.
    evidence = dataclasses.replace(
        ground.evidence,
        slips=given_away(ground.evidence.slips, looker, other),
        players=given_away(ground.evidence.players, looker, other),
    )

    findings = await all_of(check_strangers(ground.stage, [looker], evidence))

    require_found(f"casino {looker} can read slip", findings)
    require_found(f"casino {looker} can read player", findings)


def given_away(rows: Sequence[Row], owner: str, other: str) -> list[Row]:
    return [{**row, "casino_id": other} for row in rows if str(row["casino_id"]) == owner]


async def test_what_the_service_finds_in_its_own_ledger_is_found(stage: Stage) -> None:
    history = await worked(stage)
    async with stage.superuser(LOYALTY) as superuser:
        await superuser.execute(
            "UPDATE loyalty.player_loyalty SET current_balance = current_balance + 1;"
            "UPDATE loyalty.loyalty_ledger SET note = 'Nothing to see here'"
        )

    for casino_id in history.casino_ids:
        findings = await all_of(check_ledger(stage, casino_id))
        require_found("VerifyLedger found", findings)
        require_found("CheckBalanceDrift found", findings)


async def test_what_a_service_logs_as_its_own_fault_is_found(ground: Ground) -> None:
    stage = ground.stage
    assert list(check_logs(stage)) == []
    fault = {"level": "ERROR", "event": "unexpected_error"}
    stack = {"level": "WARNING", "event": "some_warning", "exc_info": "Traceback"}

    for line in (fault, stack):
        with appended(stage, json.dumps(line)):
            require_found(line["event"], list(check_logs(stage)))
    errors = errors_beside(stage.loyalty.log.path)
    errors.write_text("Traceback (most recent call last):")
    require_found("on standard error", list(check_logs(stage)))
    errors.write_text("")


@contextlib.contextmanager
def appended(stage: Stage, line: str) -> Iterator[None]:
    """A further line in a service's log, while the block lasts."""
    path = stage.loyalty.log.path
    size = path.stat().st_size
    with path.open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")
    yield
    with path.open("r+b") as log:
        log.truncate(size)


async def test_a_process_that_has_grown_is_found(ground: Ground) -> None:
    stage = ground.stage
    assert await all_of(check_processes(stage)) == []
    honest = stage.first_facts[stage.loyalty]

    stage.first_facts[stage.loyalty] = ProcessFacts(threads=-100, file_descriptors=-100)
    findings = await all_of(check_processes(stage))
    stage.first_facts[stage.loyalty] = honest

    require_found("threads, and had", findings)
    require_found("files open, and had", findings)


async def test_connections_that_are_left_behind_are_found(ground: Ground) -> None:
    stage, database = ground.stage, ground.stage.databases[LOYALTY]
    assert await all_of(check_connections(stage)) == []
    leaked = [
        await asyncpg.connect(database.service_url)
        for _ in range(POOL_SIZE + PROBE_CONNECTIONS + 1)
    ]

    findings = await all_of(check_connections(stage))
    await asyncio.gather(*(connection.close() for connection in leaked))

    require_found("connections, and 11 are its own", findings)


async def test_a_service_that_has_crashed_is_found(stage: Stage) -> None:
    stage.loyalty.send_signal(signal.SIGABRT)
    await stage.loyalty.ended()

    findings = await all_of(check_processes(stage))

    require_found("loyalty ended with -6", findings)
    require_found("loyalty does not run", findings)
