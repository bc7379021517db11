"""The ways points move, as staff see them: rewards, spending, campaigns, corrections."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from tests.integration.casino import (
    POINTS_OF_AN_HOUR,
    Casino,
    an_hour_of,
    complete,
    new_accrual,
    new_id,
    new_promotion,
    new_redemption,
    new_reversal,
    new_reward,
    read_entries,
    read_slip,
    start,
)
from tests.integration.clients import Client
from tests.integration.services import BehindProxy

LOWEST_BALANCE = -5000


@pytest.fixture
def admin(casino: Casino) -> Client:
    return casino.for_role("admin")


@pytest.fixture
def cashier(casino: Casino) -> Client:
    return casino.for_role("cashier")


async def standing(reader: Client, player_id: str) -> loyalty_pb2.PlayerLoyalty:
    request = loyalty_pb2.GetPlayerLoyaltyRequest(player_id=player_id)
    return (await reader.call(reader.points.GetPlayerLoyalty, request)).player_loyalty


async def rewarded(boss: Client, points: int) -> str:
    """A new player with so many points."""
    answer = await boss.call(boss.points.IssueManualReward, new_reward(points=points))
    return answer.entry.player_id


# A slip is paid once: by its accrual or by a reward in its place.


async def test_a_slip_that_a_reward_paid_for_is_recovered_with_that_reward(
    casino: Casino, behind_proxy: BehindProxy
) -> None:
    boss = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)
    await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip))
    request = new_reward(player_id=slip.player_id, points=600, rating_slip_id=slip.rating_slip_id)
    reward = await boss.call(boss.points.IssueManualReward, request)
    await behind_proxy.proxy.switch(Mode.PASS)

    recovered = await boss.call(
        boss.slips.RecoverSlipLoyalty,
        ratingslip_pb2.RecoverSlipLoyaltyRequest(rating_slip_id=slip.rating_slip_id),
    )

    assert recovered.loyalty.is_existing
    assert recovered.loyalty.entry_id == reward.entry.entry_id
    assert recovered.loyalty.points_delta == 600
    stored = await read_slip(boss, slip.rating_slip_id)
    assert stored.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED
    assert await read_entries(boss, player_id=slip.player_id) == [reward.entry]


async def test_a_reward_for_a_slip_that_accrued_is_its_accrual(boss: Client) -> None:
    slip = await start(boss)
    closed = await complete(boss, slip)
    request = new_reward(player_id=slip.player_id, rating_slip_id=slip.rating_slip_id)

    answer = await boss.call(boss.points.IssueManualReward, request)

    assert answer.is_existing
    assert answer.entry.entry_id == closed.loyalty.entry_id
    assert answer.entry.reason == loyalty_pb2.LEDGER_REASON_BASE_ACCRUAL
    assert len(await read_entries(boss, player_id=slip.player_id)) == 1


async def test_the_same_reward_by_the_same_person_is_given_once_a_day(
    boss: Client, admin: Client
) -> None:
    player_id = new_id()
    request = new_reward(player_id=player_id)
    first = await boss.call(boss.points.IssueManualReward, request)

    again = await boss.call(boss.points.IssueManualReward, request)
    by_another = await admin.call(admin.points.IssueManualReward, request)
    request.points += 1
    of_more_points = await boss.call(boss.points.IssueManualReward, request)

    assert again.is_existing
    assert again.entry == first.entry
    assert [by_another.is_existing, of_more_points.is_existing] == [False, False]


# Spending.


async def test_spending_takes_from_the_balance_and_leaves_the_tier(
    boss: Client, cashier: Client, casino: Casino
) -> None:
    player_id = await rewarded(boss, 1500)
    reward_id, campaign_id = new_id(), new_id()

    answer = await cashier.call(
        cashier.points.RedeemPoints,
        new_redemption(
            player_id=player_id, points=1500, reward_id=reward_id, campaign_id=campaign_id
        ),
    )

    entry = answer.entry
    assert (entry.points_delta, entry.balance_before, entry.balance_after) == (-1500, 1500, 0)
    assert (entry.source_kind, entry.source_id) == ("reward", reward_id)
    assert (entry.campaign_id, entry.staff_id) == (campaign_id, casino.staff_id("cashier"))
    assert (answer.lifetime_points, entry.tier_before, entry.tier_after) == (
        1500,
        "SILVER",
        "SILVER",
    )
    assert (await standing(boss, player_id)).tier == "SILVER"


async def test_more_than_there_is_is_refused_with_the_figures(
    boss: Client, cashier: Client
) -> None:
    player_id = await rewarded(boss, 100)

    refusal = await cashier.refusal(
        cashier.points.RedeemPoints, new_redemption(player_id=player_id, points=101)
    )

    assert refusal.kind == (StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_BALANCE")
    assert (refusal.metadata["balance"], refusal.metadata["points"]) == ("100", "101")
    assert "100" in refusal.message
    assert (await standing(boss, player_id)).current_balance == 100


async def test_an_overdraw_goes_down_to_the_floor_and_no_lower(boss: Client) -> None:
    player_id = await rewarded(boss, 100)
    overdraw = {"player_id": player_id, "allow_overdraw": True}
    most = 100 - LOWEST_BALANCE

    refusal = await boss.refusal(
        boss.points.RedeemPoints, new_redemption(**overdraw, points=most + 1)
    )
    answer = await boss.call(boss.points.RedeemPoints, new_redemption(**overdraw, points=most))

    assert refusal.kind == (StatusCode.FAILED_PRECONDITION, "OVERDRAW_EXCEEDS_CAP")
    assert refusal.metadata["overdrawFloor"] == str(LOWEST_BALANCE)
    assert answer.entry.balance_after == LOWEST_BALANCE


async def test_a_player_without_points_has_nothing_to_spend_or_to_correct(
    boss: Client, admin: Client
) -> None:
    attempts: list[tuple[Client, Any, Any]] = [
        (boss, boss.points.RedeemPoints, new_redemption(allow_overdraw=True)),
        (admin, admin.points.IssueManualReward, new_reward(points=-1)),
    ]
    for role, method, request in attempts:
        refusal = await role.refusal(method, request)

        assert refusal.kind == (StatusCode.NOT_FOUND, "PLAYER_NOT_FOUND")
        assert refusal.resource == ("player", request.player_id)
        missing = loyalty_pb2.GetPlayerLoyaltyRequest(player_id=request.player_id)
        await role.refusal(role.points.GetPlayerLoyalty, missing)


# Campaigns.


async def test_a_campaign_multiplies_what_a_slip_has_accrued_once(boss: Client) -> None:
    slip = await start(boss)
    closed = await complete(boss, slip)
    request = new_promotion(
        player_id=slip.player_id, rating_slip_id=slip.rating_slip_id, multiplier="2.5"
    )

    answer = await boss.call(boss.points.ApplyPromotion, request)
    request.idempotency_key = "another"
    again = await boss.call(boss.points.ApplyPromotion, request)

    # 525 times 2.5 is 1312.5 in all; the accrual was rounded down, and so is this.
    assert answer.entry.points_delta == POINTS_OF_AN_HOUR * 3 // 2
    assert answer.entry.metadata == {
        "multiplier": "2.5",
        "baseEntryId": closed.loyalty.entry_id,
        "basePoints": str(POINTS_OF_AN_HOUR),
        "rounding": "floor",
    }
    assert again.is_existing
    assert again.entry == answer.entry
    assert await read_entries(boss, campaign_id=request.campaign_id) == [answer.entry]


async def test_a_multiple_needs_an_accrual_of_this_player_that_stands(
    boss: Client, admin: Client
) -> None:
    slip = await start(boss)
    multiple = {"rating_slip_id": slip.rating_slip_id, "multiplier": "2"}
    not_closed = new_promotion(player_id=slip.player_id, **multiple)
    refusals = [await boss.refusal(boss.points.ApplyPromotion, not_closed)]
    closed = await complete(boss, slip)
    another_player = new_promotion(**multiple)
    refusals.append(await boss.refusal(boss.points.ApplyPromotion, another_player))
    await admin.call(admin.points.ReverseEntry, new_reversal(closed.loyalty.entry_id))
    reversed_ = new_promotion(player_id=slip.player_id, **multiple)
    refusals.append(await boss.refusal(boss.points.ApplyPromotion, reversed_))

    assert [refusal.kind for refusal in refusals] == [
        (StatusCode.FAILED_PRECONDITION, "SLIP_NOT_ACCRUED")
    ] * len(refusals)
    assert {refusal.metadata["slipId"] for refusal in refusals} == {slip.rating_slip_id}


# Corrections.


async def test_taking_an_earning_back_takes_the_tier_back_and_may_go_below_zero(
    boss: Client, admin: Client, cashier: Client
) -> None:
    player_id = await rewarded(boss, 1200)
    (reward,) = await read_entries(boss, player_id=player_id)
    await cashier.call(
        cashier.points.RedeemPoints, new_redemption(player_id=player_id, points=1000)
    )

    answer = await admin.call(admin.points.ReverseEntry, new_reversal(reward.entry_id))

    entry = answer.entry
    assert entry.reversed_entry_id == reward.entry_id
    assert (entry.points_delta, entry.balance_after, entry.lifetime_after) == (-1200, -1000, 0)
    assert (entry.tier_before, entry.tier_after) == ("SILVER", "BRONZE")
    player = await standing(boss, player_id)
    assert (player.current_balance, player.lifetime_points, player.tier) == (-1000, 0, "BRONZE")


async def test_a_second_try_gets_the_first_reversal_and_a_reversal_stays(
    boss: Client, admin: Client
) -> None:
    player_id = await rewarded(boss, 100)
    (reward,) = await read_entries(boss, player_id=player_id)
    first = await admin.call(admin.points.ReverseEntry, new_reversal(reward.entry_id))

    again = await admin.call(
        admin.points.ReverseEntry,
        new_reversal(reward.entry_id, idempotency_key="another", reason="For another reason"),
    )
    refusal = await admin.refusal(admin.points.ReverseEntry, new_reversal(first.entry.entry_id))

    assert again.is_existing
    assert again.entry == first.entry
    assert refusal.kind == (StatusCode.FAILED_PRECONDITION, "NOT_REVERSIBLE")


async def test_an_unknown_entry_cannot_be_reversed(admin: Client) -> None:
    entry_id = new_id()

    refusal = await admin.refusal(admin.points.ReverseEntry, new_reversal(entry_id))

    assert refusal.kind == (StatusCode.NOT_FOUND, "ENTRY_NOT_FOUND")
    assert refusal.resource == ("ledger_entry", entry_id)


async def test_a_correction_takes_points_and_leaves_the_tier(admin: Client) -> None:
    player_id = await rewarded(admin, 1200)

    answer = await admin.call(
        admin.points.IssueManualReward, new_reward(player_id=player_id, points=-1500)
    )

    assert answer.entry.reason == loyalty_pb2.LEDGER_REASON_ADJUSTMENT
    assert (answer.entry.balance_after, answer.lifetime_points) == (-300, 1200)
    assert answer.entry.tier_after == "SILVER"


async def test_entries_are_found_by_their_reason(
    boss: Client, admin: Client, casino: Casino
) -> None:
    service = casino.for_role("service")
    player_id = new_id()
    accrued = new_accrual(player_id=player_id)
    await service.call(service.points.AccruePointsFromSlip, accrued)
    await boss.call(boss.points.IssueManualReward, new_reward(player_id=player_id))
    await boss.call(boss.points.ApplyPromotion, new_promotion(player_id=player_id))
    await admin.call(admin.points.IssueManualReward, new_reward(player_id=player_id, points=-5))
    spent = await boss.call(boss.points.RedeemPoints, new_redemption(player_id=player_id))
    await admin.call(admin.points.ReverseEntry, new_reversal(spent.entry.entry_id))

    reasons = [each for each in loyalty_pb2.LedgerReason.values() if each]
    by_reason = [await read_entries(boss, reason=reason) for reason in reasons]

    assert [[entry.reason for entry in found] for found in by_reason] == [
        [reason] for reason in reasons
    ]
