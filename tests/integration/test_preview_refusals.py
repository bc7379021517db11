"""Previews that are refused: a bad end or bet, or a Loyalty that does not say what they earn."""

from __future__ import annotations

import asyncio
from pathlib import Path

from grpc import StatusCode

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.identity import SigningKey
from deploy.local.proxy import Mode
from tests.integration.casino import (
    HOUR,
    Casino,
    ago,
    an_hour_of,
    money,
    new_accrual,
    new_play,
    read_slip,
    start,
    timestamp,
)
from tests.integration.clients import Client
from tests.integration.patience import PATIENCE_SECONDS
from tests.integration.previews import after, pause, preview_of
from tests.integration.recovery import finish
from tests.integration.services import BehindProxy, Launcher, Pair

UNAVAILABLE = (StatusCode.UNAVAILABLE, "LOYALTY_UNAVAILABLE")
REFUSED = (StatusCode.FAILED_PRECONDITION, "LOYALTY_REFUSED")
# Shorter than RatingSlip itself would wait for Loyalty, so that it is what counts.
SHORT_DEADLINE_SECONDS = 1.5


async def test_an_end_out_of_order_or_ahead_and_another_currency_are_refused(boss: Client) -> None:
    slip = await start(boss)
    await pause(boss, slip, 600)
    euros = money(75, currency="EUR")

    for changes, reason, field in (
        ({"end_time": after(slip, 599)}, "EVENT_TIME_OUT_OF_ORDER", "end_time"),
        ({"end_time": timestamp(ago(-HOUR))}, "EVENT_TIME_IN_FUTURE", "end_time"),
        ({"average_bet": euros}, "CURRENCY_MISMATCH", "average_bet.currency_code"),
    ):
        refusal = await boss.refusal(boss.slips.PreviewSlipPoints, preview_of(slip, **changes))
        assert refusal.kind == (StatusCode.INVALID_ARGUMENT, reason)
        assert refusal.fields == (field,)


async def test_without_loyalty_the_caller_is_told_to_come_back(
    casino: Casino, behind_proxy: BehindProxy
) -> None:
    boss = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)

    refusal = await boss.refusal(
        boss.slips.PreviewSlipPoints, preview_of(slip), correlation_id="not.now"
    )

    assert refusal.kind == UNAVAILABLE
    assert refusal.retry_after_seconds is not None
    assert refusal.metadata == {
        "slipId": slip.rating_slip_id,
        "loyaltyReason": "UNAVAILABLE",
        "correlationId": "not.now",
    }
    # Nothing was closed, so nothing is half done.
    assert (await read_slip(boss, slip.rating_slip_id)).status == ratingslip_pb2.SLIP_STATUS_OPEN


async def test_a_loyalty_that_never_answers_leaves_time_to_tell_the_caller(
    casino: Casino, behind_proxy: BehindProxy
) -> None:
    boss = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    # This close opens the connection, on which the previews then hang.
    await finish(boss, boss.slips.CompleteRatingSlip, an_hour_of(await start(boss)))
    await behind_proxy.proxy.switch(Mode.STALL)

    refusals = await asyncio.gather(
        *(
            boss.refusal(boss.slips.PreviewSlipPoints, preview_of(slip), deadline_seconds=deadline)
            # A caller with much time, or without a deadline, is not kept for ever either.
            for deadline in (SHORT_DEADLINE_SECONDS, PATIENCE_SECONDS, None)
        )
    )

    for refusal in refusals:
        assert refusal.kind == UNAVAILABLE
        assert refusal.metadata["loyaltyReason"] == "DEADLINE_EXCEEDED"


async def test_a_slip_that_loyalty_would_refuse_for_good_says_why(
    boss: Client, casino: Casino
) -> None:
    service = casino.for_role("service")
    highest = {
        "average_bet": money(10_000_000),
        "house_edge_percent": "100",
        "decisions_per_hour": 10_000,
        "point_multiplier": "1000",
    }
    # Together they leave less room in 64 bits than two hours at the same stakes take.
    year = new_accrual(play=new_play(**highest, duration_seconds=366 * 86_400))
    rest = new_play(**highest, duration_seconds=219 * 3600)
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

    refusal = await boss.refusal(boss.slips.PreviewSlipPoints, preview_of(slip))

    assert refusal.kind == REFUSED
    assert refusal.metadata["loyaltyReason"] == "POINTS_OUT_OF_RANGE"
    assert refusal.metadata["slipId"] == slip.rating_slip_id
    assert refusal.retry_after_seconds is None


async def test_a_service_token_that_loyalty_rejects_is_no_refusal_of_the_slip(
    casino: Casino, pair: Pair, launcher: Launcher, tmp_path: Path
) -> None:
    wrong_key = tmp_path / "wrong.pem"
    wrong_key.write_text(SigningKey.generate().private_pem())
    ratingslip = await launcher.ratingslip(
        pair.loyalty.address, RATINGSLIP_SERVICE_TOKEN_KEY_FILE=str(wrong_key)
    )
    boss = casino.for_role("pit_boss", ratingslip=ratingslip)

    refusal = await boss.refusal(boss.slips.PreviewSlipPoints, preview_of(await start(boss)))

    assert refusal.kind == UNAVAILABLE
    assert refusal.metadata["loyaltyReason"] == "TOKEN_INVALID"
