"""What a slip would earn: agrees with the close to the point, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

import pytest

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from tests import reference
from tests.databases import RATINGSLIP, Connection, Service, TestDatabase
from tests.integration.casino import (
    HOUR,
    POINTS_OF_AN_HOUR,
    Casino,
    ago,
    complete,
    money,
    new_id,
    read_entries,
    read_slip,
    start,
    timestamp,
)
from tests.integration.clients import Client
from tests.integration.identity import ACTING_SERVICE
from tests.integration.locks import held_slip
from tests.integration.previews import after, pause, preview, resume
from tests.integration.recovery import refused_close
from tests.integration.services import BehindProxy, Pair

PREVIEWS_AT_ONCE = 20


class Play(NamedTuple):
    """A slip's game, its pauses and its end, in seconds from the start."""

    average_bet: str
    house_edge_percent: str
    decisions_per_hour: int
    point_multiplier: str
    # A pause without an end lasts until the close.
    pauses: tuple[tuple[float, float | None], ...]
    end: float
    # What is left of it: whole seconds, rounded down once, after all is added up.
    seconds: int


PLAYS = {
    "an hour": Play("50", "1.5", 70, "1", (), 3600, 3600),
    "part of a second": Play("33.33", "1.2345", 61, "1.75", (), 5025.999999, 5025),
    # 600.4 + 599.6 + 900.15 seconds.
    "pauses": Play("25.50", "2.7", 38, "1.5", ((600.4, 1800.9), (2400.5, 2700.1)), 3600.25, 2100),
    "paused to the end": Play("200.01", "5.26", 35, "1", ((1200.5, None),), 3600, 1200),
    "no time": Play("50", "1.5", 70, "1", (), 0, 0),
}
# What an earlier slip must have earned for a player to hold a tier, as its bet for an hour.
EARLIER_BETS = {"BRONZE": None, "SILVER": 100, "GOLD": 1000, "PLATINUM": 4000}
MULTIPLIERS = {tier.name: tier.multiplier for tier in reference.DEFAULT_TIERS}


async def player_of_tier(boss: Client, tier: str) -> str:
    """A player who has earned a tier by an earlier slip."""
    bet = EARLIER_BETS[tier]
    if bet is None:
        return new_id()
    slip = await start(boss, average_bet=money(bet))
    assert (await complete(boss, slip)).loyalty.tier_after == tier
    return slip.player_id


async def played(boss: Client, player_id: str, play: Play) -> ratingslip_pb2.RatingSlip:
    """A slip with its pauses, still to be closed."""
    units, _, hundredths = play.average_bet.partition(".")
    slip = await start(
        boss,
        player_id=player_id,
        average_bet=money(int(units), int(hundredths or 0)),
        game_settings=ratingslip_pb2.GameSettings(
            game_name="Roulette",
            house_edge_percent=play.house_edge_percent,
            decisions_per_hour=play.decisions_per_hour,
            point_multiplier=play.point_multiplier,
        ),
    )
    for left, back in play.pauses:
        await pause(boss, slip, left)
        if back is not None:
            await resume(boss, slip, back)
    return slip


def worth(play: Play, tier_multiplier: Fraction) -> int:
    """The points by the independent reference."""
    terms = reference.Terms(
        average_bet=play.average_bet,
        house_edge_percent=play.house_edge_percent,
        decisions_per_hour=str(play.decisions_per_hour),
        duration_seconds=str(play.seconds),
        point_multiplier=play.point_multiplier,
    )
    return terms.points(tier_multiplier)


@pytest.mark.parametrize("tier", EARLIER_BETS)
@pytest.mark.parametrize("name", PLAYS)
async def test_a_preview_and_the_close_at_the_same_end_agree_to_the_point(
    name: str, tier: str, boss: Client
) -> None:
    play = PLAYS[name]
    slip = await played(boss, await player_of_tier(boss, tier), play)
    end = after(slip, play.end)

    previewed = await preview(boss, slip, end_time=end)

    closed = await complete(boss, slip, end_time=end)
    assert previewed.points == closed.loyalty.points_delta == worth(play, MULTIPLIERS[tier])
    assert previewed.duration_seconds == closed.rating_slip.duration_seconds == play.seconds
    assert previewed.as_of_time == closed.rating_slip.end_time == end
    assert previewed.tier == closed.loyalty.tier_before == tier
    assert previewed.tier_after == closed.loyalty.tier_after
    assert previewed.loyalty_entry_id == ""


async def test_a_preview_without_an_end_is_as_of_now(boss: Client) -> None:
    slip = await start(boss)
    before = await read_slip(boss, slip.rating_slip_id)

    previewed = await preview(boss, slip)

    closed = await complete(boss, slip, end_time=previewed.as_of_time)
    assert previewed.duration_seconds == previewed.rating_slip.duration_seconds
    assert previewed.duration_seconds >= before.duration_seconds
    assert closed.rating_slip.duration_seconds == previewed.duration_seconds
    assert previewed.points == closed.loyalty.points_delta >= 2 * POINTS_OF_AN_HOUR
    assert previewed.as_of_time.ToMicroseconds() <= closed.rating_slip.update_time.ToMicroseconds()


async def test_the_clock_of_a_paused_slip_stands_in_a_preview_too(boss: Client) -> None:
    slip = await start(boss)
    await pause(boss, slip, 1200)

    previewed = await preview(boss, slip)

    assert previewed.rating_slip == await read_slip(boss, slip.rating_slip_id)
    assert previewed.rating_slip.status == ratingslip_pb2.SLIP_STATUS_PAUSED
    assert previewed.duration_seconds == 1200
    assert previewed.points == POINTS_OF_AN_HOUR // 3


async def test_a_preview_takes_another_final_bet(boss: Client) -> None:
    slip = await start(boss)
    end = after(slip, 3600)

    previewed = await preview(boss, slip, end_time=end, average_bet=money(60, 25))

    closed = await complete(boss, slip, end_time=end, average_bet=money(60, 25))
    # 60.25 × 1.5 % × 70 × 10 = 632.625.
    assert previewed.points == closed.loyalty.points_delta == 632
    # The slip itself is shown as it stands.
    assert previewed.rating_slip.average_bet == slip.average_bet


async def test_the_tier_a_preview_would_lead_to_is_named(boss: Client) -> None:
    slip = await start(boss, average_bet=money(100))

    previewed = await preview(boss, slip, end_time=after(slip, 3600))

    assert (previewed.tier, previewed.tier_after) == ("BRONZE", "SILVER")


async def test_a_closed_slip_that_waits_for_its_points_is_previewed_by_what_was_frozen(
    boss: Client, casino: Casino, behind_proxy: BehindProxy
) -> None:
    cut_off = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)
    await refused_close(cut_off, slip)

    # Nothing else counts any more: not the end, the bet, nor its currency.
    previewed = await preview(
        boss, slip, end_time=timestamp(ago(-HOUR)), average_bet=money(9999, currency="EUR")
    )

    assert previewed.points == POINTS_OF_AN_HOUR
    assert previewed.duration_seconds == 3600
    assert previewed.as_of_time == after(slip, 3600)
    assert previewed.loyalty_entry_id == ""
    assert previewed.rating_slip.loyalty_state == ratingslip_pb2.LOYALTY_STATE_PENDING


async def test_a_paid_slip_is_answered_with_its_entry_and_what_was_paid(boss: Client) -> None:
    slip = await start(boss, average_bet=money(100))
    closed = await complete(boss, slip)
    # Today's tier would give more; it was BRONZE that was paid.
    assert closed.loyalty.tier_after == "SILVER"

    previewed = await preview(boss, slip, end_time=after(slip, 60), average_bet=money(1))

    assert previewed == ratingslip_pb2.PreviewSlipPointsResponse(
        rating_slip=closed.rating_slip,
        points=closed.loyalty.points_delta,
        duration_seconds=3600,
        as_of_time=closed.rating_slip.end_time,
        loyalty_entry_id=closed.loyalty.entry_id,
        tier="SILVER",
        tier_after="SILVER",
    )


async def test_a_slip_that_a_reward_has_paid_for_is_answered_with_that_reward(
    boss: Client, casino: Casino, behind_proxy: BehindProxy
) -> None:
    cut_off = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)
    await refused_close(cut_off, slip)
    reward = await boss.call(
        boss.points.IssueManualReward,
        loyalty_pb2.IssueManualRewardRequest(
            player_id=slip.player_id,
            points=700,
            reason="the slip could not be recovered",
            rating_slip_id=slip.rating_slip_id,
        ),
    )

    previewed = await preview(boss, slip)

    assert previewed.points == 700
    assert previewed.loyalty_entry_id == reward.entry.entry_id


async def everything_stored(
    slip: ratingslip_pb2.RatingSlip, ratingslip_sql: Connection, loyalty_sql: Connection
) -> list[tuple[object, ...]]:
    """Every row about a slip and its player, with who wrote (xmin) and locked (xmax) it last."""
    rows = [
        *await ratingslip_sql.fetch(
            "SELECT xmin, xmax, s.* FROM ratingslip.rating_slip AS s WHERE id = $1",
            slip.rating_slip_id,
        ),
        *await ratingslip_sql.fetch(
            "SELECT xmin, xmax, e.* FROM ratingslip.rating_slip_event AS e"
            " WHERE rating_slip_id = $1 ORDER BY event_number",
            slip.rating_slip_id,
        ),
        *await loyalty_sql.fetch(
            "SELECT xmin, xmax, p.* FROM loyalty.player_loyalty AS p WHERE player_id = $1",
            slip.player_id,
        ),
        *await loyalty_sql.fetch(
            "SELECT xmin, xmax, l.* FROM loyalty.loyalty_ledger AS l WHERE player_id = $1"
            " ORDER BY entry_number",
            slip.player_id,
        ),
    ]
    return [tuple(row) for row in rows]


async def test_a_preview_writes_and_locks_nothing(
    boss: Client, ratingslip_sql: Connection, loyalty_sql: Connection
) -> None:
    player_id = await player_of_tier(boss, "SILVER")
    of_stranger, opened = await start(boss), await start(boss, player_id=player_id)
    paused, closed = [await start(boss, player_id=player_id) for _ in range(2)]
    await pause(boss, paused, 600)
    await complete(boss, closed)
    slips = (of_stranger, opened, paused, closed)
    before = [await everything_stored(slip, ratingslip_sql, loyalty_sql) for slip in slips]

    for slip in slips:
        await preview(boss, slip)
        await preview(boss, slip, end_time=after(slip, 3600), average_bet=money(75))

    assert [await everything_stored(slip, ratingslip_sql, loyalty_sql) for slip in slips] == before
    # A slip and its events; for the player who is known also a balance and two entries.
    assert [len(rows) for rows in before] == [2, 5, 6, 7]


async def test_a_preview_does_not_wait_for_whoever_changes_the_slip(
    boss: Client, casino: Casino, pair_databases: Mapping[Service, TestDatabase]
) -> None:
    slip = await start(boss)
    url = pair_databases[RATINGSLIP].superuser_url

    async with held_slip(url, casino.id, slip.rating_slip_id):
        previewed = await preview(boss, slip, end_time=after(slip, 3600))

    assert previewed.points == POINTS_OF_AN_HOUR


async def test_loyalty_is_asked_in_the_name_of_whoever_asks(
    boss: Client, casino: Casino, pair: Pair
) -> None:
    slip = await start(boss)
    correlation_id = new_id()

    await preview(casino.for_role("cashier"), slip, correlation_id=correlation_id)

    event = await pair.loyalty.log.event("rpc", correlation_id=correlation_id)
    assert event["rpc.method"] == "casino.loyalty.v1.LoyaltyService/SuggestPoints"
    assert event["casino.id"] == casino.id
    assert event["staff_id"] == casino.staff_id("cashier")
    assert event["acting_service"] == ACTING_SERVICE
    assert event["casino.rating_slip_id"] == slip.rating_slip_id


async def test_previews_while_the_slip_is_closed_show_one_side_or_the_other(boss: Client) -> None:
    slip = await start(boss)
    end = after(slip, 3600)

    close = asyncio.create_task(complete(boss, slip, end_time=end))
    previews = await asyncio.gather(
        *(preview(boss, slip, end_time=end) for _ in range(PREVIEWS_AT_ONCE))
    )
    closed = await close

    assert {each.points for each in previews} == {POINTS_OF_AN_HOUR}
    assert {each.loyalty_entry_id for each in previews} <= {"", closed.loyalty.entry_id}
    assert len(await read_entries(boss, player_id=slip.player_id)) == 1
