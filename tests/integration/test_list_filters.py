"""What the two lists can be narrowed to; all filters that are set must hold."""

from __future__ import annotations

from typing import Any

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import (
    HOUR,
    Casino,
    ago,
    an_hour_of,
    complete,
    later,
    new_id,
    read_entries,
    start,
    timestamp,
)
from tests.integration.clients import Client


async def slips(reader: Client, **filters: Any) -> set[str]:
    request = ratingslip_pb2.ListRatingSlipsRequest(**filters)
    answer = await reader.call(reader.slips.ListRatingSlips, request)
    return {slip.rating_slip_id for slip in answer.rating_slips}


async def entries(reader: Client, **filters: Any) -> set[str]:
    return {entry.entry_id for entry in await read_entries(reader, **filters)}


async def test_slips_by_status_and_by_where_their_points_are(boss: Client) -> None:
    opened, paused, closed = [await start(boss) for _ in range(3)]
    await boss.call(
        boss.slips.PauseRatingSlip,
        ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=paused.rating_slip_id),
    )
    await complete(boss, closed)

    by_status = {
        status: await slips(boss, status=status)
        for status in ("SLIP_STATUS_OPEN", "SLIP_STATUS_PAUSED", "SLIP_STATUS_CLOSED")
    }
    by_state = {
        state: await slips(boss, loyalty_state=state)
        for state in ("LOYALTY_STATE_NONE", "LOYALTY_STATE_PENDING", "LOYALTY_STATE_ACCRUED")
    }

    assert by_status == {
        "SLIP_STATUS_OPEN": {opened.rating_slip_id},
        "SLIP_STATUS_PAUSED": {paused.rating_slip_id},
        "SLIP_STATUS_CLOSED": {closed.rating_slip_id},
    }
    assert by_state == {
        "LOYALTY_STATE_NONE": {opened.rating_slip_id, paused.rating_slip_id},
        "LOYALTY_STATE_PENDING": set(),
        "LOYALTY_STATE_ACCRUED": {closed.rating_slip_id},
    }


async def test_slips_by_player_and_table(boss: Client) -> None:
    first = await start(boss)
    same_player = await start(boss, player_id=first.player_id)
    same_table = await start(boss, table_id=first.table_id, seat_number=9)
    player, table = {"player_id": first.player_id}, {"table_id": first.table_id}

    assert await slips(boss, **player) == {first.rating_slip_id, same_player.rating_slip_id}
    assert await slips(boss, **table) == {first.rating_slip_id, same_table.rating_slip_id}
    assert await slips(boss, **player, **table) == {first.rating_slip_id}
    assert await slips(boss, player_id=new_id()) == set()


async def test_slips_by_the_time_play_began_from_inclusive_to_exclusive(boss: Client) -> None:
    moments = [timestamp(ago(hours * HOUR)) for hours in (6, 4, 2)]
    first, second, third = [
        (await start(boss, start_time=moment)).rating_slip_id for moment in moments
    ]

    assert await slips(boss, started_from=moments[1]) == {second, third}
    assert await slips(boss, started_before=moments[1]) == {first}
    assert await slips(boss, started_from=moments[0], started_before=moments[2]) == {first, second}


async def test_entries_by_what_they_belong_to_and_who_is_answerable(
    boss: Client, casino: Casino
) -> None:
    admin = casino.for_role("admin")
    ours, theirs = await start(boss), await start(boss)
    closed = await boss.call(
        boss.slips.CompleteRatingSlip, an_hour_of(ours), correlation_id="of.ours"
    )
    other = await complete(admin, theirs)
    one, both = {closed.loyalty.entry_id}, {closed.loyalty.entry_id, other.loyalty.entry_id}

    assert await entries(boss) == both
    assert await entries(boss, player_id=ours.player_id) == one
    assert await entries(boss, rating_slip_id=ours.rating_slip_id) == one
    assert await entries(boss, visit_id=ours.visit_id) == one
    assert await entries(boss, staff_id=casino.staff_id("pit_boss")) == one
    assert await entries(boss, correlation_id="of.ours") == one
    assert await entries(boss, player_id=ours.player_id, visit_id=theirs.visit_id) == set()
    assert await entries(boss, campaign_id=new_id()) == set()
    assert await entries(boss, reason=loyalty_pb2.LEDGER_REASON_BASE_ACCRUAL) == both
    assert await entries(boss, reason=loyalty_pb2.LEDGER_REASON_REDEMPTION) == set()


async def test_entries_by_the_time_they_were_recorded_from_inclusive_to_exclusive(
    boss: Client,
) -> None:
    for _ in range(3):
        await complete(boss, await start(boss))
    newest, middle, oldest = await read_entries(boss)
    moment = middle.recorded_time

    assert await entries(boss, recorded_from=moment) == {newest.entry_id, middle.entry_id}
    assert await entries(boss, recorded_before=moment) == {oldest.entry_id}
    assert await entries(
        boss, player_id=middle.player_id, recorded_from=moment, recorded_before=later(moment, HOUR)
    ) == {middle.entry_id}
