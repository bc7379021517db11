"""Loyalty's accrual as a service calls it: once for each slip, once for each key."""

from __future__ import annotations

import asyncio
import datetime

import pytest
from google.type import date_pb2
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from tests.integration.casino import (
    HOUR,
    POINTS_OF_AN_HOUR,
    Casino,
    money,
    new_accrual,
    new_id,
    new_play,
    read_entries,
)
from tests.integration.clients import Client
from tests.integration.identity import ACTING_SERVICE

CALLS_AT_ONCE = 50
# When a gaming day begins in a casino nobody has configured, in UTC.
GAMING_DAY_START = 6 * HOUR


@pytest.fixture
def service(casino: Casino) -> Client:
    return casino.for_role("service")


async def accrue(
    service: Client, request: loyalty_pb2.AccruePointsFromSlipRequest
) -> loyalty_pb2.AccruePointsFromSlipResponse:
    return await service.call(service.points.AccruePointsFromSlip, request)


async def test_an_accrual_answers_with_its_entry_and_the_standing_after_it(
    service: Client, casino: Casino
) -> None:
    request = new_accrual()

    answer = await accrue(service, request)

    assert not answer.is_existing
    assert answer.entry.points_delta == POINTS_OF_AN_HOUR
    assert answer.entry.idempotency_key == request.rating_slip_id
    assert answer.entry.effective_time == request.play.end_time
    assert (answer.lifetime_points, answer.tier_progress_percent) == (POINTS_OF_AN_HOUR, 52)
    # Who it was comes from the token, and from nothing else.
    assert answer.entry.staff_id == casino.staff_id("pit_boss")
    assert answer.entry.acting_service == ACTING_SERVICE
    recorded = answer.entry.recorded_time.ToDatetime(datetime.UTC)
    day = (recorded - GAMING_DAY_START).date()
    assert answer.entry.gaming_day == date_pb2.Date(year=day.year, month=day.month, day=day.day)
    assert await read_entries(service, player_id=request.player_id) == [answer.entry]


async def test_a_second_time_answers_with_the_original_as_it_was_then(service: Client) -> None:
    request = new_accrual()
    first = await accrue(service, request)
    await accrue(service, new_accrual(player_id=request.player_id))

    second = await accrue(service, request)

    assert second.is_existing
    second.is_existing = False
    assert second == first
    assert len(await read_entries(service, player_id=request.player_id)) == 2


async def test_fifty_times_at_once_is_once(service: Client) -> None:
    request = new_accrual()

    answers = await asyncio.gather(*(accrue(service, request) for _ in range(CALLS_AT_ONCE)))

    assert [answer.is_existing for answer in answers].count(False) == 1
    (entry,) = await read_entries(service, player_id=request.player_id)
    assert all(answer.entry == entry for answer in answers)


async def test_another_request_under_a_key_is_refused_and_nothing_is_written(
    service: Client,
) -> None:
    request = new_accrual(idempotency_key="key")
    first = await accrue(service, request)
    other = new_accrual(player_id=request.player_id, idempotency_key="key")

    refusal = await service.refusal(service.points.AccruePointsFromSlip, other)

    assert refusal.kind == (StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_CONFLICT")
    assert refusal.domain == "loyalty.casino"
    assert refusal.metadata["entryId"] == first.entry.entry_id
    assert await read_entries(service, player_id=request.player_id) == [first.entry]


async def test_the_slip_stands_above_the_key(service: Client) -> None:
    request = new_accrual(idempotency_key="first")
    first = await accrue(service, request)
    request.idempotency_key = "second"

    second = await accrue(service, request)

    assert second.is_existing
    assert second.entry == first.entry
    assert second.entry.idempotency_key == "first"


async def test_a_refused_accrual_binds_neither_key_nor_slip(service: Client) -> None:
    request = new_accrual(idempotency_key="key", play=new_play(average_bet=money(-1)))
    refusal = await service.refusal(service.points.AccruePointsFromSlip, request)
    request.play.average_bet.CopyFrom(money(50))

    answer = await accrue(service, request)

    assert refusal.code is StatusCode.INVALID_ARGUMENT
    assert not answer.is_existing


async def test_a_player_nobody_has_seen_is_not_found(service: Client) -> None:
    player_id = new_id()

    refusal = await service.refusal(
        service.points.GetPlayerLoyalty, loyalty_pb2.GetPlayerLoyaltyRequest(player_id=player_id)
    )

    assert refusal.kind == (StatusCode.NOT_FOUND, "PLAYER_NOT_FOUND")
    assert refusal.metadata["playerId"] == player_id
    assert refusal.resource == ("player", player_id)


async def test_a_player_is_there_from_the_first_entry_on(service: Client) -> None:
    request = new_accrual(play=new_play(average_bet=money(0)))
    entry = (await accrue(service, request)).entry

    answer = await service.call(
        service.points.GetPlayerLoyalty,
        loyalty_pb2.GetPlayerLoyaltyRequest(player_id=request.player_id),
    )

    player = answer.player_loyalty
    assert (player.current_balance, player.lifetime_points, player.tier) == (0, 0, "BRONZE")
    assert (player.tier_progress_percent, player.points_to_next_tier) == (0, 1000)
    assert player.entry_count == entry.entry_number == 1
    assert player.update_time == entry.recorded_time
