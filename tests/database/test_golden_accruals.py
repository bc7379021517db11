"""Points are exact: every worked case, every published game, and thousands of random plays.

All of them run as the service's role, with row-level security on, each case in a
casino of its own.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import pytest

from tests.database.accruals import (
    SlipCredit,
    accrue,
    insert_player,
    insert_program,
    metadata_of,
)
from tests.databases import LOYALTY, Connection, Databases, connected
from tests.reference import (
    DEFAULT_POINTS_PER_UNIT,
    DEFAULT_ROUNDING,
    DEFAULT_TIERS,
    Accrual,
    GoldenCase,
    GoldenGame,
    Terms,
    accrual,
    golden_cases,
    golden_games,
    points_of_entry,
    standing,
    terms_of_entry,
)

RANDOM_PLAYS = 5_000
# The same plays every time: a failure can be run again.
SEED = 20_260_601


class Roles(NamedTuple):
    """Connections to one database."""

    superuser: Connection
    service: Connection


@pytest.fixture(scope="module")
async def roles(databases: Databases) -> AsyncIterator[Roles]:
    async with (
        databases.migrated(LOYALTY) as database,
        connected(database.superuser_url) as superuser,
        connected(database.service_url) as service,
    ):
        yield Roles(superuser, service)


@pytest.mark.parametrize("case", golden_cases(), ids=str)
async def test_the_database_computes_each_golden_case_exactly(
    roles: Roles, case: GoldenCase
) -> None:
    credit = SlipCredit(terms=case.terms)
    if _priced_otherwise(case.terms):
        await insert_program(
            roles.superuser,
            credit.casino_id,
            points_per_unit=case.terms.points_per_unit,
            rounding=case.terms.rounding,
        )
    if case.lifetime_before > 0:
        await insert_player(
            roles.superuser,
            credit.casino_id,
            credit.player_id,
            lifetime_points=case.lifetime_before,
        )

    entry = await accrue(roles.service, credit)

    assert case.expected == Accrual(
        entry["points_delta"],
        entry["tier_before"],
        entry["lifetime_after"],
        entry["tier_after"],
        entry["tier_progress_percent"],
    )
    assert entry["balance_after"] == case.lifetime_before + case.expected.points
    theo = metadata_of(entry)["theo"]
    assert theo == f"{Decimal(theo):.2f}"
    assert Decimal(theo) * 100 == case.theo_floor_cents
    # An auditor who has nothing but the entry gets the same.
    assert points_of_entry(metadata_of(entry)) == case.expected.points
    assert terms_of_entry(metadata_of(entry)).theo_floor_cents() == case.theo_floor_cents


@pytest.mark.parametrize("game", golden_games(), ids=str)
async def test_an_odd_stretch_of_each_published_game_pays_what_the_reference_says(
    roles: Roles, game: GoldenGame
) -> None:
    terms = Terms("33.33", game.house_edge_percent, game.decisions_per_hour, "7177")

    entry = await accrue(roles.service, SlipCredit(terms=terms))

    assert entry["points_delta"] == accrual(terms, lifetime_before=0).points > 0


async def test_random_plays_pay_what_the_reference_says(roles: Roles) -> None:
    chance = random.Random(SEED)
    plays = [_random_terms(chance) for _ in range(RANDOM_PLAYS)]
    plays += [_terms_at_the_edge(chance) for _ in range(RANDOM_PLAYS)]
    multipliers = [chance.choice(DEFAULT_TIERS).multiplier for _ in plays]

    rows = await roles.service.fetch(
        """
        SELECT loyalty.points_for_play(
            p.bet, p.edge, p.decisions, p.seconds, p.per_unit, p.game, p.tier, p.rounding
        ) AS points
        FROM unnest(
            $1::numeric[], $2::numeric[], $3::integer[], $4::bigint[],
            $5::numeric[], $6::numeric[], $7::numeric[], $8::text[]
        ) WITH ORDINALITY AS p (bet, edge, decisions, seconds, per_unit, game, tier, rounding, nr)
        ORDER BY p.nr
        """,
        [Decimal(terms.average_bet) for terms in plays],
        [Decimal(terms.house_edge_percent) for terms in plays],
        [int(terms.decisions_per_hour) for terms in plays],
        [int(terms.duration_seconds) for terms in plays],
        [Decimal(terms.points_per_unit) for terms in plays],
        [Decimal(terms.point_multiplier) for terms in plays],
        [Decimal(each.numerator) / each.denominator for each in multipliers],
        [terms.rounding for terms in plays],
    )

    differences = [
        (terms, multiplier, row["points"])
        for terms, multiplier, row in zip(plays, multipliers, rows, strict=True)
        if row["points"] != terms.points(multiplier)
    ]
    assert differences == []


async def test_the_ladder_is_climbed_at_its_steps_and_nowhere_else(roles: Roles) -> None:
    chance = random.Random(SEED)
    starts = [tier.lifetime_start for tier in DEFAULT_TIERS]
    points = [start + offset for start in starts for offset in (-1, 0, 1) if start + offset >= 0]
    points += [chance.randrange(30_000) for _ in range(RANDOM_PLAYS)]

    rows = await roles.service.fetch(
        """
        SELECT s.*
        FROM unnest($2::bigint[]) WITH ORDINALITY AS p (lifetime, nr),
            loyalty.tier_standing((loyalty.default_program($1)).tiers, p.lifetime) AS s
        ORDER BY p.nr
        """,
        uuid.uuid4(),
        points,
    )

    stood = [(row["tier"], Fraction(row["multiplier"]), row["progress_percent"]) for row in rows]
    expected = [standing(each) for each in points]
    assert stood == [(each.tier.name, each.tier.multiplier, each[1]) for each in expected]
    assert [row["points_to_next"] for row in rows] == [
        min((start - each for start in starts if start > each), default=0) for each in points
    ]


def _priced_otherwise(terms: Terms) -> bool:
    """Whether a casino without a program of its own would price the play differently."""
    defaults = (DEFAULT_POINTS_PER_UNIT, DEFAULT_ROUNDING)
    return (terms.points_per_unit, terms.rounding) != defaults


def _random_terms(chance: random.Random) -> Terms:
    """A play with as many decimals, and as large or small numbers, as requests may carry."""
    return Terms(
        average_bet=str(Decimal(chance.randrange(10 ** chance.randrange(1, 8))).scaleb(-2)),
        house_edge_percent=str(Decimal(chance.randrange(10 ** chance.randrange(1, 5))).scaleb(-3)),
        decisions_per_hour=str(chance.randrange(1, 500)),
        duration_seconds=str(chance.randrange(10 ** chance.randrange(1, 6))),
        points_per_unit=chance.choice(["1", "7", "10", "12.5", "0.333"]),
        point_multiplier=chance.choice(["0", "0.5", "1", "1.5", "2", "3.7"]),
        rounding=chance.choice(["floor", "nearest", "ceil"]),
    )


def _terms_at_the_edge(chance: random.Random) -> Terms:
    """A play of whole or half points exactly, where the least error changes the result.

    Hundreds of units and 36 decisions take the percent and the hour out of the quotient,
    while a quotient of the seconds alone would never end.
    """
    return Terms(
        average_bet=str(100 * chance.randrange(1, 100)),
        house_edge_percent=chance.choice(["0.5", "1", "1.5", "2"]),
        decisions_per_hour=str(36 * chance.randrange(1, 10)),
        duration_seconds=str(chance.randrange(1, 86_400)),
        points_per_unit=chance.choice(["1", "7", "10"]),
        point_multiplier=chance.choice(["1", "2", "3"]),
        rounding=chance.choice(["floor", "nearest", "ceil"]),
    )
