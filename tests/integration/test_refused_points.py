"""Closes whose points Loyalty will not give, for good or until somebody mends something."""

from __future__ import annotations

from pathlib import Path

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.identity import SigningKey
from tests.integration.casino import (
    HOUR,
    POINTS_OF_AN_HOUR,
    Casino,
    ago,
    an_hour_of,
    later,
    money,
    new_accrual,
    new_play,
    read_entries,
    start,
    timestamp,
)
from tests.integration.clients import Client
from tests.integration.recovery import (
    NO_RETRY_CAN_HELP,
    RETRY_CAN_HELP,
    recover,
    recovery_of,
    refused_close,
    require_pending,
)
from tests.integration.services import Launcher, Pair


async def test_a_refusal_for_good_is_kept_with_the_slip_and_found_by_the_list(
    boss: Client, casino: Casino
) -> None:
    slip = await start(boss)
    service = casino.for_role("service")
    # Somebody has used the slip's key for another play.
    foreign = new_accrual(
        player_id=slip.player_id,
        rating_slip_id=slip.rating_slip_id,
        visit_id=slip.visit_id,
        play=new_play(average_bet=money(1)),
    )
    await service.call(service.points.AccruePointsFromSlip, foreign)

    refusals = [
        await refused_close(boss, slip),
        await refused_close(boss, slip),
        await boss.refusal(boss.slips.RecoverSlipLoyalty, recovery_of(slip)),
    ]

    for refusal in refusals:
        assert refusal.kind == NO_RETRY_CAN_HELP
        assert refusal.metadata["loyaltyReason"] == "IDEMPOTENCY_KEY_CONFLICT"
        assert refusal.metadata["slipId"] == slip.rating_slip_id
        assert refusal.retry_after_seconds is None
    listed = await boss.call(
        boss.slips.ListRatingSlips,
        ratingslip_pb2.ListRatingSlipsRequest(loyalty_state=ratingslip_pb2.LOYALTY_STATE_REFUSED),
    )
    (refused,) = listed.rating_slips
    assert refused.rating_slip_id == slip.rating_slip_id
    assert refused.status == ratingslip_pb2.SLIP_STATUS_CLOSED
    assert refused.loyalty_refusal_reason == "IDEMPOTENCY_KEY_CONFLICT"
    assert len(await read_entries(boss, player_id=slip.player_id)) == 1


async def test_points_beyond_64_bits_are_refused_for_good_and_nothing_is_written(
    boss: Client, casino: Casino
) -> None:
    service = casino.for_role("service")
    highest = {
        "average_bet": money(10_000_000),
        "house_edge_percent": "100",
        "decisions_per_hour": 10_000,
        "point_multiplier": "1000",
    }
    # A year at the highest stakes, and 200 hours more at the top tier's double rate,
    # leave less room than a day and a half.
    year = new_accrual(play=new_play(**highest, duration_seconds=366 * 86_400))
    rest = new_play(**highest, duration_seconds=200 * 3600)
    for accrual in (year, new_accrual(player_id=year.player_id, play=rest)):
        await service.call(service.points.AccruePointsFromSlip, accrual)
    slip = await start(
        boss,
        player_id=year.player_id,
        average_bet=highest["average_bet"],
        game_settings=ratingslip_pb2.GameSettings(
            game_name="Baccarat",
            house_edge_percent="100",
            decisions_per_hour=10_000,
            point_multiplier="1000",
        ),
        start_time=timestamp(ago(47 * HOUR)),
    )

    refusal = await boss.refusal(
        boss.slips.CompleteRatingSlip,
        an_hour_of(slip, end_time=later(slip.start_time, 46 * HOUR)),
    )

    assert refusal.kind == NO_RETRY_CAN_HELP
    assert refusal.metadata["loyaltyReason"] == "POINTS_OUT_OF_RANGE"
    assert await read_entries(boss, rating_slip_id=slip.rating_slip_id) == []
    assert len(await read_entries(boss, player_id=slip.player_id)) == 2


async def test_a_service_token_that_loyalty_rejects_leaves_the_points_due(
    casino: Casino, pair: Pair, launcher: Launcher, tmp_path: Path
) -> None:
    wrong_key = tmp_path / "wrong.pem"
    wrong_key.write_text(SigningKey.generate().private_pem())
    ratingslip = await launcher.ratingslip(
        pair.loyalty.address, RATINGSLIP_SERVICE_TOKEN_KEY_FILE=str(wrong_key)
    )
    boss = casino.for_role("pit_boss", ratingslip=ratingslip)
    slip = await start(boss)

    refusal = await refused_close(boss, slip)

    # The mistake is the operator's. Once it is mended, the slip gets its points.
    assert refusal.kind == RETRY_CAN_HELP
    assert refusal.metadata["loyaltyReason"] == "TOKEN_INVALID"
    await require_pending(boss, slip)
    recovered = await recover(casino.for_role("pit_boss"), slip)
    assert recovered.loyalty.points_delta == POINTS_OF_AN_HOUR
