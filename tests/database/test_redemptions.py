"""Spending: no more than there is, and an overdraw no lower than the floor of the casino."""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid

import pytest

from chassis.context import Role
from loyalty_service.ledger import Ledger
from tests.database.accruals import insert_player, insert_program
from tests.database.clock import stop_clock
from tests.database.contents import refused
from tests.database.entries import (
    RedemptionRequest,
    RewardRequest,
    issue_manual_reward_as_service,
    redeem_points_as_service,
)
from tests.databases import Connection

DEFAULT_FLOOR = -5_000
MOST_POINTS = 2**63 - 1


async def test_all_of_the_balance_can_be_spent_and_not_one_point_more(
    ledger: Ledger, superuser: Connection
) -> None:
    whole = await _owner_of(superuser, 300)
    more = dataclasses.replace(whole, points=301)

    async with refused(superuser, "INSUFFICIENT_BALANCE", balance=300, points=301):
        await redeem_points_as_service(ledger, more)
    entry = await redeem_points_as_service(ledger, whole)

    assert (entry["points_delta"], entry["balance_after"]) == (-300, 0)
    assert json.loads(entry["metadata"]) == {}
    async with refused(superuser, "INSUFFICIENT_BALANCE", balance=0, points=1):
        await redeem_points_as_service(ledger, _another(whole, points=1))


@pytest.mark.parametrize("floor", [DEFAULT_FLOOR, -300, 0])
@pytest.mark.parametrize("balance", [200, 0])
async def test_an_overdraw_reaches_the_casinos_floor_and_goes_no_lower(
    ledger: Ledger, superuser: Connection, balance: int, floor: int
) -> None:
    request = await _owner_of(superuser, balance, allow_overdraw=True)
    if floor != DEFAULT_FLOOR:
        await insert_program(superuser, request.casino_id, overdraw_floor=floor)
    most = balance - floor

    async with refused(
        superuser,
        "OVERDRAW_EXCEEDS_CAP",
        balance=balance,
        points=most + 1,
        overdrawFloor=floor,
    ):
        await redeem_points_as_service(ledger, _another(request, points=most + 1))
    if most > 0:
        entry = await redeem_points_as_service(ledger, _another(request, points=most))
        assert entry["balance_after"] == floor
        # What it was judged by stays with it, also when the terms change.
        judged_by = {"overdrawFloor": str(floor)} if floor < 0 else {}
        assert json.loads(entry["metadata"]) == judged_by
    async with refused(
        superuser,
        "OVERDRAW_EXCEEDS_CAP",
        balance=min(floor, balance),
        points=1,
        overdrawFloor=floor,
    ):
        await redeem_points_as_service(ledger, _another(request, points=1))


async def test_the_floor_of_today_holds_not_that_of_tomorrow(
    ledger: Ledger, superuser: Connection
) -> None:
    today = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
    tomorrow = today + datetime.timedelta(days=1)
    await stop_clock(superuser, today)
    request = await _owner_of(superuser, 0, allow_overdraw=True)
    for version, (floor, moment) in enumerate(((-300, today), (0, tomorrow)), start=1):
        await insert_program(
            superuser,
            request.casino_id,
            version=version,
            effective_time=moment,
            overdraw_floor=floor,
        )

    entry = await redeem_points_as_service(ledger, dataclasses.replace(request, points=300))

    assert entry["balance_after"] == -300


async def test_what_is_allowed_to_overdraw_and_does_not_is_judged_by_no_floor(
    ledger: Ledger, superuser: Connection
) -> None:
    request = await _owner_of(superuser, 300, allow_overdraw=True)

    entry = await redeem_points_as_service(ledger, request)

    assert json.loads(entry["metadata"]) == {}


async def test_spending_leaves_the_lifetime_points_and_the_tier_alone(
    ledger: Ledger, superuser: Connection
) -> None:
    request = await _owner_of(superuser, 5_000)

    entry = await redeem_points_as_service(ledger, request)

    assert (entry["balance_after"], entry["lifetime_after"]) == (0, 5_000)
    assert (entry["tier_before"], entry["tier_after"]) == ("GOLD", "GOLD")


async def test_a_refused_redemption_leaves_its_key_free(
    ledger: Ledger, superuser: Connection
) -> None:
    request = RedemptionRequest(role=Role.CASHIER)
    reward = RewardRequest(casino_id=request.casino_id, player_id=request.player_id, points=99)

    async with refused(superuser, "PLAYER_NOT_FOUND", playerId=request.player_id):
        await redeem_points_as_service(ledger, request)
    await issue_manual_reward_as_service(ledger, reward)
    async with refused(superuser, "INSUFFICIENT_BALANCE", balance=99, points=100):
        await redeem_points_as_service(ledger, request)
    await issue_manual_reward_as_service(ledger, dataclasses.replace(reward, points=1))

    assert (await redeem_points_as_service(ledger, request))["is_existing"] is False


async def test_a_replay_has_the_balance_as_it_was_and_asks_for_no_balance_now(
    ledger: Ledger, superuser: Connection
) -> None:
    request = await _owner_of(superuser, 150, points=100)
    entry = await redeem_points_as_service(ledger, request)
    await redeem_points_as_service(ledger, _another(request, points=50))

    assert await redeem_points_as_service(ledger, request) == {**entry, "is_existing": True}
    assert entry["balance_after"] == 50


async def test_no_player_of_another_casino_is_known_here(
    ledger: Ledger, superuser: Connection
) -> None:
    request = await _owner_of(superuser, 1_000)
    elsewhere = dataclasses.replace(request, casino_id=uuid.uuid4())

    async with refused(superuser, "PLAYER_NOT_FOUND", playerId=request.player_id):
        await redeem_points_as_service(ledger, elsewhere)


@pytest.mark.parametrize("allow_overdraw", [False, True], ids=["plain", "overdraw"])
@pytest.mark.parametrize("balance", [0, -2, DEFAULT_FLOOR, -(2**63)])
async def test_the_largest_redemption_is_too_large_and_no_number_out_of_range(
    ledger: Ledger, superuser: Connection, balance: int, allow_overdraw: bool
) -> None:
    """What would be left does not fit in 64 bits, and need not: it is refused before."""
    request = await _owner_of(superuser, balance, points=MOST_POINTS, allow_overdraw=allow_overdraw)
    facts: dict[str, object] = {"balance": balance, "points": MOST_POINTS}
    reason = "INSUFFICIENT_BALANCE"
    if allow_overdraw:
        reason, facts["overdrawFloor"] = "OVERDRAW_EXCEEDS_CAP", DEFAULT_FLOOR

    async with refused(superuser, reason, **facts):
        await redeem_points_as_service(ledger, request)


async def _owner_of(
    superuser: Connection,
    balance: int,
    *,
    points: int | None = None,
    allow_overdraw: bool = False,
) -> RedemptionRequest:
    """Asks for all the points, or for some, of a new player who has so many."""
    request = RedemptionRequest(
        points=balance if points is None else points, allow_overdraw=allow_overdraw
    )
    await insert_player(
        superuser,
        request.casino_id,
        request.player_id,
        lifetime_points=max(balance, 0),
        current_balance=balance,
    )
    return request


def _another(request: RedemptionRequest, *, points: int) -> RedemptionRequest:
    """The same player spends again."""
    return dataclasses.replace(request, points=points, idempotency_key=f"another-{uuid.uuid4()}")
