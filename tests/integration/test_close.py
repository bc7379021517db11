"""Closing a rating slip: the close, its points in the ledger, and one answer about both."""

from __future__ import annotations

import asyncio
import json

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.databases import Connection
from tests.integration.casino import (
    HOUR,
    MINUTE,
    POINTS_OF_AN_HOUR,
    Casino,
    ago,
    an_hour_of,
    complete,
    later,
    money,
    new_id,
    new_slip,
    read_entries,
    read_slip,
    start,
    timestamp,
)
from tests.integration.clients import CORRELATION_HEADER, Client, correlation_of
from tests.integration.identity import ACTING_SERVICE

CLOSES_AT_ONCE = 50


async def test_a_closed_slip_answers_with_its_points_and_the_tier(boss: Client) -> None:
    slip = await start(boss)

    closed = await complete(boss, slip)

    assert closed.rating_slip.status == ratingslip_pb2.SLIP_STATUS_CLOSED
    assert closed.rating_slip.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED
    assert closed.rating_slip.duration_seconds == 3600
    assert closed.loyalty == ratingslip_pb2.LoyaltyResult(
        entry_id=closed.rating_slip.loyalty_entry_id,
        points_delta=POINTS_OF_AN_HOUR,
        balance_after=POINTS_OF_AN_HOUR,
        lifetime_points=POINTS_OF_AN_HOUR,
        tier_before="BRONZE",
        tier_after="BRONZE",
        tier_progress_percent=52,
    )
    # What was answered is what is stored.
    assert await read_slip(boss, slip.rating_slip_id) == closed.rating_slip


async def test_a_closed_slip_has_one_ledger_entry_that_tells_all(
    boss: Client, casino: Casino, loyalty_sql: Connection
) -> None:
    slip = await start(boss)
    answer = boss.send(boss.slips.CompleteRatingSlip, an_hour_of(slip))
    closed = await answer

    (entry,) = await read_entries(boss, player_id=slip.player_id)

    assert entry.entry_id == closed.loyalty.entry_id
    assert (entry.entry_number, entry.points_delta) == (1, POINTS_OF_AN_HOUR)
    assert entry.reason == loyalty_pb2.LEDGER_REASON_BASE_ACCRUAL
    assert (entry.source_kind, entry.source_id) == ("rating_slip", slip.rating_slip_id)
    assert (entry.rating_slip_id, entry.visit_id) == (slip.rating_slip_id, slip.visit_id)
    assert (entry.balance_before, entry.balance_after) == (0, POINTS_OF_AN_HOUR)
    assert (entry.lifetime_before, entry.lifetime_after) == (0, POINTS_OF_AN_HOUR)
    assert (entry.tier_before, entry.tier_after) == ("BRONZE", "BRONZE")
    assert entry.effective_time == closed.rating_slip.end_time
    assert entry.correlation_id == correlation_of(await answer.initial_metadata())
    row = await loyalty_sql.fetchrow(
        "SELECT id::text, player_id::text, points_delta, idempotency_key, metadata"
        " FROM loyalty.loyalty_ledger WHERE casino_id = $1",
        casino.id,
    )
    assert row is not None
    assert row["id"] == entry.entry_id
    assert row["player_id"] == slip.player_id
    assert row["points_delta"] == POINTS_OF_AN_HOUR
    assert row["idempotency_key"] == slip.rating_slip_id
    assert json.loads(row["metadata"]) == entry.metadata


async def test_an_entry_keeps_every_input_of_its_calculation(boss: Client) -> None:
    settings = ratingslip_pb2.GameSettings(
        game_name="Roulette",
        house_edge_percent="2.70",
        decisions_per_hour=38,
        point_multiplier="1.5",
    )
    slip = await start(boss, average_bet=money(25, 50), game_settings=settings)
    closed = await complete(boss, slip)

    (entry,) = await read_entries(boss, rating_slip_id=slip.rating_slip_id)

    # 25.50 × 2.7 % × 38 = 26.163; × 10 × 1.5 = 392.445.
    assert closed.loyalty.points_delta == 392
    assert entry.metadata == {
        "averageBet": "25.5",
        "currencyCode": "USD",
        "houseEdgePercent": "2.7",
        "decisionsPerHour": "38",
        "pointMultiplier": "1.5",
        "durationSeconds": "3600",
        "startTime": slip.start_time.ToDatetime().isoformat(timespec="microseconds") + "Z",
        "endTime": closed.rating_slip.end_time.ToDatetime().isoformat(timespec="microseconds")
        + "Z",
        "programVersion": "0",
        "pointsPerUnit": "10",
        "rounding": "floor",
        "tierMultiplier": "1",
        "theo": "26.16",
    }


async def test_the_tier_held_before_the_close_sets_the_rate(boss: Client) -> None:
    first = await start(boss, average_bet=money(100))
    raised = await complete(boss, first)
    second = await start(boss, player_id=first.player_id)

    rewarded = await complete(boss, second)

    assert (raised.loyalty.tier_before, raised.loyalty.tier_after) == ("BRONZE", "SILVER")
    assert raised.loyalty.points_delta == 2 * POINTS_OF_AN_HOUR
    # 52.5 × 10 × 1.25 = 656.25.
    assert rewarded.loyalty.points_delta == 656
    assert rewarded.loyalty.balance_after == 1706
    player = await boss.call(
        boss.points.GetPlayerLoyalty,
        loyalty_pb2.GetPlayerLoyaltyRequest(player_id=first.player_id),
    )
    standing = player.player_loyalty
    assert (standing.current_balance, standing.lifetime_points) == (1706, 1706)
    assert (standing.tier, standing.next_tier) == ("SILVER", "GOLD")
    # 706 of the 4000 points between the two.
    assert (standing.tier_progress_percent, standing.points_to_next_tier) == (17, 3294)
    assert standing.entry_count == 2


async def test_completing_twice_gives_one_entry_and_the_same_answer(boss: Client) -> None:
    slip = await start(boss)
    first = await complete(boss, slip)

    second = await complete(boss, slip)

    assert (first.loyalty.is_existing, second.loyalty.is_existing) == (False, True)
    second.loyalty.is_existing = False
    assert second == first
    assert len(await read_entries(boss, player_id=slip.player_id)) == 1


async def test_completing_fifty_times_at_once_gives_one_entry_and_answers_that_agree(
    boss: Client,
) -> None:
    slip = await start(boss)

    answers = await asyncio.gather(*(complete(boss, slip) for _ in range(CLOSES_AT_ONCE)))

    (entry,) = await read_entries(boss, player_id=slip.player_id)
    assert [answer.loyalty.is_existing for answer in answers].count(False) == 1
    for answer in answers:
        answer.loyalty.is_existing = True
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].loyalty.entry_id == entry.entry_id


async def test_the_close_takes_the_final_bet_the_chips_and_the_end(boss: Client) -> None:
    slip = await start(boss)
    end = later(slip.start_time, 30 * MINUTE)

    closed = await complete(
        boss, slip, end_time=end, average_bet=money(200), chips_taken=money(1234, 56)
    )

    assert closed.rating_slip.average_bet == money(200)
    assert closed.rating_slip.chips_taken == money(1234, 56)
    assert closed.rating_slip.end_time == end
    assert closed.rating_slip.duration_seconds == 1800
    # 200 × 1.5 % × 70 × half an hour = 105.
    assert closed.loyalty.points_delta == 1050


async def test_a_close_without_an_end_ends_now(boss: Client) -> None:
    slip = await start(boss)
    request = ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=slip.rating_slip_id)

    closed = (await boss.call(boss.slips.CompleteRatingSlip, request)).rating_slip

    assert closed.end_time.ToMicroseconds() <= closed.update_time.ToMicroseconds()
    assert closed.end_time.ToMicroseconds() >= slip.update_time.ToMicroseconds()
    assert not closed.HasField("chips_taken")
    assert closed.average_bet == slip.average_bet


async def test_pauses_are_no_play(boss: Client) -> None:
    slip = await start(boss)
    for pause_minute, resume_minute in ((10, 30), (40, 45)):
        await boss.call(
            boss.slips.PauseRatingSlip,
            ratingslip_pb2.PauseRatingSlipRequest(
                rating_slip_id=slip.rating_slip_id,
                event_time=later(slip.start_time, pause_minute * MINUTE),
            ),
        )
        await boss.call(
            boss.slips.ResumeRatingSlip,
            ratingslip_pb2.ResumeRatingSlipRequest(
                rating_slip_id=slip.rating_slip_id,
                event_time=later(slip.start_time, resume_minute * MINUTE),
            ),
        )

    closed = await complete(boss, slip)

    assert closed.rating_slip.duration_seconds == 35 * 60
    # 52.5 × 35/60 × 10 = 306.25.
    assert closed.loyalty.points_delta == 306


async def test_the_clock_of_a_paused_slip_stood_until_the_close(boss: Client) -> None:
    slip = await start(boss)
    pause = ratingslip_pb2.PauseRatingSlipRequest(
        rating_slip_id=slip.rating_slip_id, event_time=later(slip.start_time, 20 * MINUTE)
    )
    await boss.call(boss.slips.PauseRatingSlip, pause)

    closed = await complete(boss, slip)

    assert closed.rating_slip.end_time == later(slip.start_time, HOUR)
    assert closed.rating_slip.duration_seconds == 20 * 60
    assert closed.loyalty.points_delta == POINTS_OF_AN_HOUR // 3


async def test_nothing_about_a_closed_slip_changes_any_more(boss: Client) -> None:
    slip = await start(boss)
    closed = await complete(boss, slip)

    await complete(
        boss,
        slip,
        end_time=later(slip.start_time, 90 * MINUTE),
        average_bet=money(9999),
        chips_taken=money(1, currency="EUR"),
    )

    assert await read_slip(boss, slip.rating_slip_id) == closed.rating_slip


async def test_a_slip_of_no_time_accrues_no_points_and_has_its_entry(boss: Client) -> None:
    slip = await start(boss)

    closed = await complete(boss, slip, end_time=slip.start_time)

    assert closed.rating_slip.duration_seconds == 0
    assert closed.rating_slip.loyalty_state == ratingslip_pb2.LOYALTY_STATE_ACCRUED
    (entry,) = await read_entries(boss, player_id=slip.player_id)
    assert (entry.points_delta, entry.entry_id) == (0, closed.loyalty.entry_id)


async def test_the_longest_slip_still_accrues(boss: Client) -> None:
    slip = await start(boss, start_time=timestamp(ago(48 * HOUR - MINUTE)))

    closed = await complete(boss, slip, end_time=later(slip.start_time, 47 * HOUR))

    # 52.5 × 47 hours × 10.
    assert closed.loyalty.points_delta == 47 * POINTS_OF_AN_HOUR


async def test_the_ledger_names_who_closed_and_the_service_that_called(
    boss: Client, casino: Casino
) -> None:
    slip = await start(boss)
    admin = casino.for_role("admin")

    closed = await complete(admin, slip)

    (entry,) = await read_entries(boss, player_id=slip.player_id)
    assert closed.rating_slip.started_by_staff_id == casino.staff_id("pit_boss")
    assert closed.rating_slip.closed_by_staff_id == casino.staff_id("admin")
    assert entry.staff_id == casino.staff_id("admin")
    assert entry.acting_service == ACTING_SERVICE


async def test_the_correlation_id_goes_through_both_services_and_comes_back(boss: Client) -> None:
    slip = await start(boss)
    correlation_id = f"close.of_{new_id()}"

    call = boss.send(
        boss.slips.CompleteRatingSlip,
        an_hour_of(slip),
        headers=[(CORRELATION_HEADER, correlation_id)],
    )

    closed = await call
    assert correlation_of(await call.initial_metadata()) == correlation_id
    assert closed.rating_slip.close_correlation_id == correlation_id
    (entry,) = await read_entries(boss, correlation_id=correlation_id)
    assert entry.entry_id == closed.loyalty.entry_id


async def test_every_call_has_a_correlation_id_of_its_own_errors_included(boss: Client) -> None:
    first, second = (boss.send(boss.slips.StartRatingSlip, new_slip()) for _ in range(2))
    unknown = ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=new_id())

    made = {correlation_of(await call.initial_metadata()) for call in (first, second)}
    named = await boss.refusal(boss.slips.GetRatingSlip, unknown, correlation_id="given.by_caller")
    unnamed = await boss.refusal(boss.slips.GetRatingSlip, unknown)

    await asyncio.gather(first, second)
    assert named.correlation_id == "given.by_caller"
    assert len(made | {named.correlation_id, unnamed.correlation_id}) == 4
