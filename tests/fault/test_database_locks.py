"""Somebody holds the row that a call needs, or a statement takes all the time.

The database gives up before the callers do, so that they are told why; whoever needs
nothing of it is answered meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import chassis.database as database
from casino.ratingslip.v1 import ratingslip_pb2
from chassis.config import ServiceSettings
from deploy.local.proxy import Mode
from ratingslip_service import close, loyalty, recovery
from tests.databases import LOYALTY, RATINGSLIP, Databases
from tests.fault.database_calls import DATABASE_BUSY, open_slip_of_a_known_player
from tests.fault.history import History
from tests.fault.invariants import require_invariants
from tests.fault.pool_checks import require_whole_pool
from tests.fault.postgres_server import PostgresServer
from tests.fault.stage import Stage, raised_stage
from tests.fault.under_load import keeps_answering, under_load
from tests.integration.casino import (
    POINTS_OF_AN_HOUR,
    complete,
    new_redemption,
    new_reward,
    new_slip,
    read_slip,
    start,
)
from tests.integration.clients import Client
from tests.integration.identity import Identity
from tests.integration.locks import held_player, held_slip
from tests.integration.patience import eventually
from tests.integration.recovery import RETRY_CAN_HELP, refused_close, require_pending

# Many times every limit; a maintenance job that somebody has forgotten holds for longer.
HELD_SECONDS = 10.0
# Ten seconds of all that the machine can do would only be more of the same.
FEW_CLIENTS = 2
# PostgreSQL's word for a lock that was waited for too long.
LOCK_NOT_AVAILABLE = "55P03"
# A statement of one casino that takes longer than any limit.
ENDLESS_STATEMENT = """
    CREATE FUNCTION {schema}.sleep() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_sleep(1000); RETURN NEW; END';
    GRANT EXECUTE ON FUNCTION {schema}.sleep() TO PUBLIC;
    CREATE TRIGGER sleep BEFORE INSERT ON {schema}.{table}
    FOR EACH ROW WHEN (NEW.casino_id = '{casino_id}') EXECUTE FUNCTION {schema}.sleep();
"""
SECOND_MS = 1_000


@pytest.fixture(scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory,
    fault_postgres: PostgresServer,
    fault_databases: Databases,
    fault_identity: Identity,
) -> AsyncIterator[Stage]:
    # One for all: what each of them holds is of its own casino.
    directory = tmp_path_factory.mktemp("stage")
    async with raised_stage(directory, fault_postgres, fault_databases, fault_identity) as raised:
        yield raised


def test_the_limits_are_in_an_order_in_which_callers_learn_the_reason() -> None:
    default_deadline_ms = ServiceSettings.model_fields["default_deadline_ms"].default
    pool_wait_ms = database.POOL_WAIT_SECONDS * SECOND_MS
    longest_call_ms = loyalty.LONGEST_CALL_SECONDS * SECOND_MS
    longest_finish_ms = close.LONGEST_FINISH_SECONDS * SECOND_MS

    # Each limit of the database comes before the deadline of a call that brings none.
    assert database.LOCK_TIMEOUT_MS < database.STATEMENT_TIMEOUT_MS < default_deadline_ms
    assert database.CONNECT_TIMEOUT_SECONDS * SECOND_MS < default_deadline_ms  # noqa: SIM300
    # The wait for a connection and the wait for a lock together, too.
    assert pool_wait_ms + database.LOCK_TIMEOUT_MS < default_deadline_ms
    # RatingSlip hears why Loyalty could not, and has the time to tell its own caller.
    assert longest_call_ms > database.LOCK_TIMEOUT_MS
    assert pool_wait_ms < longest_call_ms
    assert longest_finish_ms < default_deadline_ms
    assert longest_finish_ms < recovery.ATTEMPT_DEADLINE_SECONDS * SECOND_MS


async def test_a_row_that_is_held_for_ten_seconds_keeps_nobody_else_waiting(stage: Stage) -> None:
    casino = stage.casino()
    boss = casino.for_role("pit_boss")
    stuck = await open_slip_of_a_known_player(boss)
    player = held_player(stage.databases[LOYALTY].superuser_url, casino.id, stuck.player_id)
    loop = asyncio.get_running_loop()
    async with under_load(stage, clients=FEW_CLIENTS) as workload, player:
        held_until = loop.time() + HELD_SECONDS

        # They bring no deadline: the limit of the lock ends the wait, before any other does.
        redemption = await boss.refusal(
            boss.points.RedeemPoints,
            new_redemption(player_id=stuck.player_id),
            deadline_seconds=None,
        )
        refused = await refused_close(boss, stuck, deadline_seconds=None)

        assert redemption.kind == DATABASE_BUSY
        call = await stage.loyalty.log.event("rpc", correlation_id=redemption.correlation_id)
        assert call["db.response.status_code"] == LOCK_NOT_AVAILABLE
        assert refused.kind == RETRY_CAN_HELP
        while loop.time() < held_until:
            # Other players of the casino, and other casinos.
            other = await complete(boss, await start(boss))
            assert other.loyalty.points_delta == POINTS_OF_AN_HOUR
            await keeps_answering(workload)
        await require_pending(boss, stuck)
    # `under_load` has waited until the points were there, for which nobody has asked.
    paid = await read_slip(boss, stuck.rating_slip_id)
    assert paid.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED


async def test_a_slip_that_somebody_holds_keeps_no_other_from_its_points(stage: Stage) -> None:
    casino = stage.casino()
    boss = casino.for_role("pit_boss")
    held, other = await start(boss), await start(boss)
    await stage.loyalty_proxy.switch(Mode.REFUSE)
    for slip in (held, other):
        await refused_close(boss, slip)
    async with stage.superuser(RATINGSLIP) as superuser:
        # The one that is held is the first in line.
        await superuser.execute(
            "UPDATE ratingslip.rating_slip SET next_recovery_time = to_timestamp(0) WHERE id = $1",
            held.rating_slip_id,
        )
    url = stage.databases[RATINGSLIP].superuser_url
    async with held_slip(url, casino.id, held.rating_slip_id):
        await stage.loyalty_proxy.switch(Mode.PASS)

        await has_its_points(boss, other)

        await require_pending(boss, held)
    await has_its_points(boss, held)
    await require_invariants(stage, History())


async def test_a_statement_without_end_is_ended_and_its_caller_told_before_the_deadline(
    stage: Stage,
) -> None:
    casino = stage.casino()
    boss = casino.for_role("pit_boss")
    slept = {LOYALTY: "loyalty_ledger", RATINGSLIP: "rating_slip_event"}
    for service, table in slept.items():
        async with stage.superuser(service) as superuser:
            await superuser.execute(
                ENDLESS_STATEMENT.format(schema=service, table=table, casino_id=casino.id)
            )

    refusals = await asyncio.gather(
        boss.refusal(boss.points.IssueManualReward, new_reward(), deadline_seconds=None),
        boss.refusal(boss.slips.StartRatingSlip, new_slip(), deadline_seconds=None),
    )

    assert [refusal.kind for refusal in refusals] == [DATABASE_BUSY, DATABASE_BUSY]
    for service in slept:
        await require_whole_pool(stage, service)
    await require_invariants(stage, History())


async def has_its_points(boss: Client, slip: ratingslip_pb2.RatingSlip) -> None:
    """Returns when the slip has its points, for which nobody asks."""

    async def reached() -> bool:
        found = await read_slip(boss, slip.rating_slip_id)
        return found.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED

    await eventually(reached, "the slip has its points")
