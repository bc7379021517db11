"""The kit as a whole: it finds nothing where nothing is wrong, whatever the clients were told.

That each of its checks finds what it is there for stands in `test_kit_findings.py`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from tests.databases import LOYALTY, RATINGSLIP
from tests.fault.history import Acknowledged, History, Refused, Unknown, Verb
from tests.fault.invariants import quiet, require_invariants
from tests.fault.recorder import Recorder
from tests.fault.stage import Stage
from tests.fault.workload import Workload
from tests.integration.casino import (
    Casino,
    an_hour_of,
    new_id,
    new_reward,
    new_slip,
    read_slip,
    start,
)
from tests.integration.clients import Client

# Some of each verb, and of each outcome, are among so many.
ENOUGH_WORK = 250
# Long enough to come back if it were going to.
A_WHILE_SECONDS = 1.0
ACCRUED = ratingslip_pb2.LOYALTY_STATE_ACCRUED


@pytest.fixture
def casino(stage: Stage) -> Casino:
    return stage.casino()


@pytest.fixture
def boss(casino: Casino) -> Client:
    return casino.for_role("pit_boss")


@pytest.fixture
def recorder(casino: Casino) -> Recorder:
    return Recorder(History(), casino)


async def test_a_workload_without_any_fault_keeps_every_invariant(stage: Stage) -> None:
    workload = Workload(stage, seed=1)

    async with workload.running():
        await workload.acknowledges(ENOUGH_WORK)

    operations = list(workload.history)
    assert {operation.verb for operation in operations} == set(Verb) - {Verb.RECOVER}
    assert {type(operation.outcome) for operation in operations} == {Acknowledged, Refused}
    await require_invariants(stage, workload.history)


async def test_two_workloads_of_one_seed_want_the_same(bare_stage: Stage) -> None:
    first, second = Workload(bare_stage, seed=7), Workload(bare_stage, seed=7)
    another = Workload(bare_stage, seed=8)

    assert list(first.players.values()) == list(second.players.values())
    assert list(first.players.values()) != list(another.players.values())


async def test_a_start_whose_reply_was_lost_is_one_slip_when_it_is_asked_for_again(
    stage: Stage, boss: Client, recorder: Recorder
) -> None:
    slip = new_slip(idempotency_key=new_id())
    stage.ratingslip_proxy.drop_next_reply()

    operation = await recorder.call(Verb.START, boss, slip, slip.player_id)
    lost = operation.outcome
    answered = await recorder.repeat(operation, boss, attempts=20)

    assert isinstance(lost, Unknown)
    assert stage.ratingslip_proxy.dropped_reply_count == 1
    assert isinstance(answered, Acknowledged)
    assert answered.is_existing
    await require_invariants(stage, recorder.history)


async def test_a_close_that_nobody_asks_for_again_is_found_and_finished(
    stage: Stage, boss: Client, recorder: Recorder
) -> None:
    player_id = await opened_player(recorder, boss)
    slip = await opened_slip(recorder, boss, player_id)
    await stage.loyalty_proxy.switch(Mode.REFUSE)
    operation = await recorder.call(Verb.COMPLETE, boss, an_hour_of(slip), player_id)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(A_WHILE_SECONDS):
            await quiet(stage)
    await stage.loyalty_proxy.switch(Mode.PASS)
    await quiet(stage)

    assert operation.outcome == Unknown("UNAVAILABLE", "PARTIAL_COMPLETION")
    assert (await read_slip(boss, slip.rating_slip_id)).loyalty_state == ACCRUED
    await require_invariants(stage, recorder.history)


async def test_a_refusal_speaks_for_its_own_attempt_only(
    stage: Stage, boss: Client, recorder: Recorder
) -> None:
    slip = new_slip(idempotency_key=new_id())
    await stage.ratingslip_proxy.switch(Mode.REFUSE)
    operation = await recorder.call(Verb.START, boss, slip, slip.player_id)
    await stage.ratingslip_proxy.switch(Mode.PASS)
    slip.idempotency_key = new_id()
    other = await recorder.call(Verb.START, boss, slip, slip.player_id, attempts=20)

    outcome = await recorder.repeat(operation, boss)

    assert isinstance(other.outcome, Acknowledged)
    assert operation.errors[-1].reason == "VISIT_HAS_ACTIVE_SLIP"
    # For all that its client knows, the first attempt may still be on its way.
    assert isinstance(outcome, Unknown)
    await require_invariants(stage, recorder.history)


async def test_each_service_starts_again_where_its_callers_look_for_it(
    stage: Stage, boss: Client, recorder: Recorder
) -> None:
    player_id = await opened_player(recorder, boss)
    for service in (LOYALTY, RATINGSLIP):
        slip = await opened_slip(recorder, boss, player_id)
        await stage.restart(service)
        operation = await recorder.call(
            Verb.COMPLETE, boss, an_hour_of(slip), player_id, attempts=20
        )
        assert isinstance(operation.outcome, Acknowledged)
    await require_invariants(stage, recorder.history)


async def test_a_replica_takes_over_when_the_proxy_is_pointed_to_it(
    stage: Stage, boss: Client
) -> None:
    replica = await stage.start_replica(RATINGSLIP)
    stage.ratingslip_proxy.upstream = replica.address
    await stage.kill(stage.ratingslip)

    slip = await start(boss)

    await replica.log.event("rpc", **{"casino.rating_slip_id": slip.rating_slip_id})


def test_a_history_is_the_same_when_it_is_read_back(tmp_path: Path) -> None:
    history = History()
    answered = history.invoke(
        Verb.REDEMPTION, {"points": "5"}, client="a", casino_id="b", player_id="c", key="d"
    )
    answered.outcome = Acknowledged(True, entry_id="e", entry_number=3, points_delta=-5)
    answered.answered_at = answered.invoked_at + 1
    history.invoke(Verb.PAUSE, {}, client="a", casino_id="b", player_id="c", slip_id="f")

    history.write(tmp_path / "history.jsonl")

    assert History.read(tmp_path / "history.jsonl").operations == history.operations


async def opened_player(recorder: Recorder, boss: Client) -> str:
    """A player with 100 points."""
    reward = new_reward(idempotency_key=new_id())
    operation = await recorder.call(Verb.MANUAL_REWARD, boss, reward, reward.player_id)
    assert isinstance(operation.outcome, Acknowledged)
    return str(reward.player_id)


async def opened_slip(
    recorder: Recorder, boss: Client, player_id: str
) -> ratingslip_pb2.RatingSlip:
    """A slip of a player, whose start is in the history."""
    request = new_slip(player_id=player_id, idempotency_key=new_id())
    operation = await recorder.call(Verb.START, boss, request, player_id, attempts=20)
    assert isinstance(operation.outcome, Acknowledged)
    return await read_slip(boss, operation.outcome.slip_id)
