"""Closes that lose Loyalty half way: the slip stays closed, and its points come exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping

import pytest
from grpc import StatusCode

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.processes import LOOPBACK, free_port
from deploy.local.proxy import Mode
from tests.databases import LOYALTY, RATINGSLIP, Service, TestDatabase
from tests.integration.casino import (
    POINTS_OF_AN_HOUR,
    Casino,
    an_hour_of,
    complete,
    read_entries,
    read_slip,
    start,
)
from tests.integration.clients import Client
from tests.integration.identity import ACTING_SERVICE
from tests.integration.locks import held_player, held_slip
from tests.integration.patience import eventually
from tests.integration.recovery import (
    RETRY_CAN_HELP,
    finish,
    recover,
    recovery_of,
    refused_close,
    require_pending,
)
from tests.integration.services import BehindProxy, Launcher, Pair

RECOVERY_RPC = "casino.ratingslip.v1.RatingSlipService/RecoverSlipLoyalty"
CALLS_AT_ONCE = 20
# Shorter than RatingSlip itself would wait for Loyalty, so that it is what counts.
SHORT_DEADLINE_SECONDS = 1.5


@pytest.fixture
def boss(casino: Casino, behind_proxy: BehindProxy) -> Client:
    """A pit boss whose RatingSlip reaches Loyalty through the proxy."""
    return casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)


async def eventually_accrued(
    boss: Client, slip: ratingslip_pb2.RatingSlip
) -> ratingslip_pb2.RatingSlip:
    """The slip, once it has its points."""

    async def accrued() -> ratingslip_pb2.RatingSlip | None:
        found = await read_slip(boss, slip.rating_slip_id)
        is_accrued = found.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED
        return found if is_accrued else None

    return await eventually(accrued, "the slip has its points")


async def test_without_loyalty_the_slip_is_closed_and_the_caller_knows_what_is_missing(
    boss: Client, behind_proxy: BehindProxy
) -> None:
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)

    refusal = await boss.refusal(
        boss.slips.CompleteRatingSlip, an_hour_of(slip), correlation_id="half.way"
    )

    assert refusal.kind == RETRY_CAN_HELP
    assert refusal.domain == "ratingslip.casino"
    assert refusal.metadata == {
        "slipId": slip.rating_slip_id,
        "correlationId": "half.way",
        "recoveryRpc": RECOVERY_RPC,
        "loyaltyReason": "UNAVAILABLE",
    }
    assert refusal.retry_after_seconds is not None
    # Command-line clients show little but the message.
    for fact in (slip.rating_slip_id, "half.way", RECOVERY_RPC):
        assert fact in refusal.message
    await require_pending(boss, slip)
    assert await read_entries(boss, player_id=slip.player_id) == []


async def test_recovery_gives_the_points_once_however_often_it_is_asked(
    boss: Client, casino: Casino, behind_proxy: BehindProxy
) -> None:
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)
    await refused_close(boss, slip)
    refused = await boss.refusal(boss.slips.RecoverSlipLoyalty, recovery_of(slip))
    await behind_proxy.proxy.switch(Mode.PASS)

    first = await recover(casino.for_role("admin", ratingslip=behind_proxy.ratingslip), slip)
    second = await recover(boss, slip)

    assert refused.kind == RETRY_CAN_HELP
    assert first.rating_slip.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED
    assert first.loyalty.points_delta == POINTS_OF_AN_HOUR
    assert (first.loyalty.is_existing, second.loyalty.is_existing) == (False, True)
    second.loyalty.is_existing = False
    assert second == first
    (entry,) = await read_entries(boss, player_id=slip.player_id)
    assert entry.entry_id == first.loyalty.entry_id
    # Whoever recovers, the points are given in the name of who closed.
    assert entry.staff_id == casino.staff_id("pit_boss")
    assert entry.acting_service == ACTING_SERVICE


async def test_completing_again_finishes_the_close(boss: Client, behind_proxy: BehindProxy) -> None:
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)
    await refused_close(boss, slip)
    refused_again = await refused_close(boss, slip)
    await behind_proxy.proxy.switch(Mode.PASS)

    finished = await finish(boss, boss.slips.CompleteRatingSlip, an_hour_of(slip))

    assert refused_again.kind == RETRY_CAN_HELP
    assert finished.rating_slip.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED
    (entry,) = await read_entries(boss, player_id=slip.player_id)
    assert entry.entry_id == finished.loyalty.entry_id


async def test_a_pending_slip_finished_by_many_at_once_has_one_entry(
    boss: Client, behind_proxy: BehindProxy
) -> None:
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)
    await refused_close(boss, slip)
    await behind_proxy.proxy.switch(Mode.PASS)

    async def result(calls_recovery: bool) -> ratingslip_pb2.LoyaltyResult:
        if calls_recovery:
            return (await recover(boss, slip)).loyalty
        return (await finish(boss, boss.slips.CompleteRatingSlip, an_hour_of(slip))).loyalty

    results = await asyncio.gather(*(result(bool(n % 2)) for n in range(CALLS_AT_ONCE)))

    (entry,) = await read_entries(boss, player_id=slip.player_id)
    assert {result.entry_id for result in results} == {entry.entry_id}
    assert [result.is_existing for result in results].count(False) == 1


async def test_a_loyalty_that_was_killed_and_comes_back_gives_the_points_once(
    casino: Casino, launcher: Launcher
) -> None:
    address = f"{LOOPBACK}:{free_port()}"
    killed = await launcher.loyalty(LOYALTY_LISTEN_ADDRESS=address)
    ratingslip = await launcher.ratingslip(address)
    boss = casino.for_role("pit_boss", ratingslip=ratingslip)
    slip, next_slip = await start(boss), await start(boss)
    await complete(boss, slip)
    killed.send_signal(signal.SIGKILL)
    await killed.ended()

    refusal = await refused_close(boss, next_slip)

    assert refusal.kind == RETRY_CAN_HELP
    await launcher.loyalty(LOYALTY_LISTEN_ADDRESS=address)
    recovered = await recover(boss, next_slip)
    (entry,) = await read_entries(boss, player_id=next_slip.player_id)
    assert entry.entry_id == recovered.loyalty.entry_id


async def test_a_reply_lost_after_loyalty_committed_leads_to_the_same_entry(
    boss: Client, behind_proxy: BehindProxy
) -> None:
    # The first close opens the connection, on which the second one's reply is lost.
    await finish(boss, boss.slips.CompleteRatingSlip, an_hour_of(await start(boss)))
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.SWALLOW_REPLIES)

    refusal = await refused_close(boss, slip, SHORT_DEADLINE_SECONDS)

    assert refusal.kind == RETRY_CAN_HELP
    await require_pending(boss, slip)
    (committed,) = await read_entries(boss, player_id=slip.player_id)
    await behind_proxy.proxy.switch(Mode.PASS)
    recovered = await recover(boss, slip)
    assert recovered.loyalty.is_existing
    assert recovered.loyalty.entry_id == committed.entry_id
    assert await read_entries(boss, player_id=slip.player_id) == [committed]


async def test_a_loyalty_that_never_answers_leaves_time_to_tell_the_caller(
    boss: Client, behind_proxy: BehindProxy
) -> None:
    slips = await start(boss), await start(boss)
    await behind_proxy.proxy.switch(Mode.STALL)

    refusals = await asyncio.gather(
        refused_close(boss, slips[0], SHORT_DEADLINE_SECONDS),
        # A caller without a deadline is not kept for ever either.
        refused_close(boss, slips[1], None),
    )

    assert [refusal.kind for refusal in refusals] == [RETRY_CAN_HELP, RETRY_CAN_HELP]
    await behind_proxy.proxy.switch(Mode.PASS)
    for slip in slips:
        await recover(boss, slip)
        assert len(await read_entries(boss, player_id=slip.player_id)) == 1


async def test_points_that_could_not_be_recorded_with_the_slip_are_not_given_again(
    casino: Casino, pair: Pair, pair_databases: Mapping[Service, TestDatabase]
) -> None:
    boss = casino.for_role("pit_boss")
    known = await start(boss)
    await complete(boss, known)
    slip = await start(boss, player_id=known.player_id)
    loyalty_url = pair_databases[LOYALTY].superuser_url
    ratingslip_url = pair_databases[RATINGSLIP].superuser_url
    async with contextlib.AsyncExitStack() as until_refused:
        async with held_player(loyalty_url, casino.id, slip.player_id) as player:
            close = asyncio.create_task(refused_close(boss, slip))
            # Loyalty is asked, so the close is committed. Hold the slip, and let Loyalty go on.
            await player.awaited()
            slip_row = held_slip(ratingslip_url, casino.id, slip.rating_slip_id)
            await until_refused.enter_async_context(slip_row)

        refusal = await close

    assert refusal.kind == RETRY_CAN_HELP
    await require_pending(boss, slip)
    recovered = await recover(boss, slip)
    assert recovered.loyalty.is_existing
    entries = await read_entries(boss, rating_slip_id=slip.rating_slip_id)
    assert [entry.entry_id for entry in entries] == [recovered.loyalty.entry_id]


async def test_a_caller_that_goes_away_after_the_close_does_not_stop_the_points(
    casino: Casino, pair: Pair, pair_databases: Mapping[Service, TestDatabase]
) -> None:
    boss = casino.for_role("pit_boss")
    known = await start(boss)
    await complete(boss, known)
    slip = await start(boss, player_id=known.player_id)
    url = pair_databases[LOYALTY].superuser_url
    async with held_player(url, casino.id, slip.player_id) as player:
        call = boss.send(boss.slips.CompleteRatingSlip, an_hour_of(slip))
        await player.awaited()

        call.cancel()

        with pytest.raises(asyncio.CancelledError):
            await call

    closed = await eventually_accrued(boss, slip)
    entries = await read_entries(boss, rating_slip_id=slip.rating_slip_id)
    assert [entry.entry_id for entry in entries] == [closed.loyalty_entry_id]


async def test_a_caller_whose_time_is_over_after_the_close_does_not_stop_the_points(
    casino: Casino, pair: Pair, pair_databases: Mapping[Service, TestDatabase]
) -> None:
    boss = casino.for_role("pit_boss")
    known = await start(boss)
    await complete(boss, known)
    slip = await start(boss, player_id=known.player_id)
    url = pair_databases[LOYALTY].superuser_url
    async with held_player(url, casino.id, slip.player_id):
        refusal = await refused_close(boss, slip, SHORT_DEADLINE_SECONDS)

    # It was told so in time, and what it had asked for went on.
    assert refusal.kind == RETRY_CAN_HELP
    assert refusal.metadata["loyaltyReason"] == "DEADLINE_EXCEEDED"
    closed = await eventually_accrued(boss, slip)
    (entry,) = await read_entries(boss, rating_slip_id=slip.rating_slip_id)
    assert entry.entry_id == closed.loyalty_entry_id


async def test_a_slip_that_is_not_closed_cannot_be_recovered(boss: Client) -> None:
    slip = await start(boss)

    refusal = await boss.refusal(boss.slips.RecoverSlipLoyalty, recovery_of(slip))

    assert refusal.kind == (StatusCode.FAILED_PRECONDITION, "SLIP_NOT_CLOSED")
    assert refusal.metadata["slipId"] == slip.rating_slip_id
    still = await read_slip(boss, slip.rating_slip_id)
    assert still.status == ratingslip_pb2.SLIP_STATUS_OPEN
