"""A balance that is wrong is not built upon: nothing is written until it is repaired."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.databases import Connection
from tests.integration.casino import (
    POINTS_OF_AN_HOUR,
    Casino,
    an_hour_of,
    complete,
    new_accrual,
    new_promotion,
    new_redemption,
    new_reversal,
    new_reward,
    read_entries,
    read_slip,
    start,
)
from tests.integration.clients import Client
from tests.integration.drifting import break_balance, reconcile

DRIFTED = (StatusCode.DATA_LOSS, "BALANCE_DRIFTED")


@pytest.fixture
def admin(casino: Casino) -> Client:
    return casino.for_role("admin")


async def test_no_mutation_builds_on_a_wrong_balance_and_each_is_done_once_it_is_repaired(
    boss: Client, admin: Client, casino: Casino, loyalty_sql: Connection
) -> None:
    service = casino.for_role("service")
    slip = (await complete(boss, await start(boss))).rating_slip
    player = {"player_id": slip.player_id}
    mutations: list[tuple[Client, Any, Any]] = [
        (service, service.points.AccruePointsFromSlip, new_accrual(**player)),
        (admin, admin.points.IssueManualReward, new_reward(**player)),
        (admin, admin.points.RedeemPoints, new_redemption(**player)),
        (admin, admin.points.ApplyPromotion, new_promotion(**player)),
        (admin, admin.points.ReverseEntry, new_reversal(slip.loyalty_entry_id)),
    ]
    await break_balance(loyalty_sql, casino, slip.player_id)

    refusals = [await client.refusal(method, request) for client, method, request in mutations]

    assert [refusal.kind for refusal in refusals] == [DRIFTED] * len(mutations)
    assert {refusal.metadata["playerId"] for refusal in refusals} == {slip.player_id}
    assert len(await read_entries(boss, **player)) == 1
    repaired = await reconcile(admin, slip.player_id)
    assert (repaired.is_repaired, repaired.finding.drift_points) == (True, 1)
    answers = [await client.call(method, request) for client, method, request in mutations]
    assert not any(answer.is_existing for answer in answers)
    verified = await admin.call(admin.points.VerifyLedger, loyalty_pb2.VerifyLedgerRequest())
    assert (verified.entries_verified, len(verified.breaks)) == (1 + len(mutations), 0)


async def test_a_slip_closed_meanwhile_waits_for_the_repair_and_gets_its_points(
    boss: Client, admin: Client, casino: Casino, loyalty_sql: Connection
) -> None:
    first = (await complete(boss, await start(boss))).rating_slip
    await break_balance(loyalty_sql, casino, first.player_id)
    slip = await start(boss, player_id=first.player_id)

    refusal = await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip))

    assert refusal.kind == (StatusCode.UNAVAILABLE, "PARTIAL_COMPLETION")
    assert refusal.metadata["loyaltyReason"] == "BALANCE_DRIFTED"
    waiting = await read_slip(boss, slip.rating_slip_id)
    assert waiting.loyalty_state == ratingslip_pb2.LOYALTY_STATE_PENDING
    await reconcile(admin, first.player_id)
    recovered = await boss.call(
        boss.slips.RecoverSlipLoyalty,
        ratingslip_pb2.RecoverSlipLoyaltyRequest(rating_slip_id=slip.rating_slip_id),
    )
    assert recovered.loyalty.balance_after == 2 * POINTS_OF_AN_HOUR
