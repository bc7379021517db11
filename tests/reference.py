"""An independent reference of the accrual, in rational arithmetic.

Written from the rules and not from the SQL: every number is a `Fraction`, and the one
rounding happens at the end. It must not import anything of the services.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

GOLDEN_DIRECTORY = pathlib.Path(__file__).parent / "golden"

SECONDS_PER_HOUR = 3600
CENTS_PER_UNIT = 100
PERCENT = 100


class Tier(NamedTuple):
    """One step of a ladder."""

    name: str
    lifetime_start: int
    multiplier: Fraction


DEFAULT_TIERS = (
    Tier("BRONZE", 0, Fraction(1)),
    Tier("SILVER", 1_000, Fraction("1.25")),
    Tier("GOLD", 5_000, Fraction("1.5")),
    Tier("PLATINUM", 20_000, Fraction(2)),
)
DEFAULT_POINTS_PER_UNIT = "10"
DEFAULT_ROUNDING = "floor"


@dataclasses.dataclass(frozen=True)
class Terms:
    """What prices a play, in decimal strings as files and the ledger write them."""

    average_bet: str
    house_edge_percent: str
    decisions_per_hour: str
    duration_seconds: str
    points_per_unit: str = DEFAULT_POINTS_PER_UNIT
    point_multiplier: str = "1"
    rounding: str = DEFAULT_ROUNDING

    def theo(self) -> Fraction:
        """The theoretical win in currency units, exact."""
        hours = Fraction(self.duration_seconds) / SECONDS_PER_HOUR
        edge = Fraction(self.house_edge_percent) / PERCENT
        return Fraction(self.average_bet) * edge * Fraction(self.decisions_per_hour) * hours

    def theo_floor_cents(self) -> int:
        """The theoretical win in hundredths of a unit, rounded down."""
        return math.floor(self.theo() * CENTS_PER_UNIT)

    def points(self, tier_multiplier: Fraction) -> int:
        """The points, rounded once."""
        rate = Fraction(self.points_per_unit) * Fraction(self.point_multiplier) * tier_multiplier
        return rounded(self.theo() * rate, self.rounding)


class Standing(NamedTuple):
    """Where lifetime points stand on a ladder."""

    tier: Tier
    progress_percent: int


class Accrual(NamedTuple):
    """What an accrual does to a player."""

    points: int
    tier_before: str
    lifetime_after: int
    tier_after: str
    progress_percent: int


def accrual(terms: Terms, lifetime_before: int, tiers: Sequence[Tier] = DEFAULT_TIERS) -> Accrual:
    """The accrual of a play by a player with so many lifetime points."""
    before = standing(lifetime_before, tiers)
    points = terms.points(before.tier.multiplier)
    after = standing(lifetime_before + points, tiers)
    return Accrual(
        points, before.tier.name, lifetime_before + points, after.tier.name, after.progress_percent
    )


def standing(lifetime: int, tiers: Sequence[Tier] = DEFAULT_TIERS) -> Standing:
    """The tier that is held, and the way to the next in whole percent."""
    held = max(
        (tier for tier in tiers if tier.lifetime_start <= lifetime),
        key=lambda tier: tier.lifetime_start,
    )
    above = [tier.lifetime_start for tier in tiers if tier.lifetime_start > lifetime]
    if not above:
        return Standing(held, 100)
    way = Fraction(lifetime - held.lifetime_start, min(above) - held.lifetime_start)
    return Standing(held, math.floor(100 * way))


def rounded(value: Fraction, rounding: str) -> int:
    """A value that is not negative as a whole number; `nearest` takes halves up."""
    match rounding:
        case "floor":
            return math.floor(value)
        case "nearest":
            return math.floor(value + Fraction(1, 2))
        case "ceil":
            return math.ceil(value)
    raise ValueError(f"unknown rounding {rounding!r}")


def terms_of_entry(metadata: Mapping[str, str]) -> Terms:
    """The terms that a ledger entry says it was computed with."""
    return Terms(
        average_bet=metadata["averageBet"],
        house_edge_percent=metadata["houseEdgePercent"],
        decisions_per_hour=metadata["decisionsPerHour"],
        duration_seconds=metadata["durationSeconds"],
        points_per_unit=metadata["pointsPerUnit"],
        point_multiplier=metadata["pointMultiplier"],
        rounding=metadata["rounding"],
    )


def points_of_entry(metadata: Mapping[str, str]) -> int:
    """The points of a ledger entry, recomputed from its metadata alone."""
    return terms_of_entry(metadata).points(Fraction(metadata["tierMultiplier"]))


class GoldenCase(NamedTuple):
    """One row of `golden/accruals.csv`."""

    name: str
    terms: Terms
    lifetime_before: int
    theo_floor_cents: int
    expected: Accrual

    def __str__(self) -> str:
        return self.name


class GoldenGame(NamedTuple):
    """One row of `golden/games.csv`."""

    name: str
    house_edge_percent: str
    decisions_per_hour: str

    def __str__(self) -> str:
        return self.name


def golden_cases() -> list[GoldenCase]:
    """Every worked case."""
    return [
        GoldenCase(
            name=row["case"],
            terms=Terms(
                average_bet=row["average_bet"],
                house_edge_percent=row["house_edge_percent"],
                decisions_per_hour=row["decisions_per_hour"],
                duration_seconds=row["duration_seconds"],
                points_per_unit=row["points_per_unit"],
                point_multiplier=row["point_multiplier"],
                rounding=row["rounding"],
            ),
            lifetime_before=int(row["lifetime_before"]),
            theo_floor_cents=int(row["theo_floor_cents"]),
            expected=Accrual(
                points=int(row["points"]),
                tier_before=row["tier_before"],
                lifetime_after=int(row["lifetime_after"]),
                tier_after=row["tier_after"],
                progress_percent=int(row["tier_progress_percent"]),
            ),
        )
        for row in _rows("accruals.csv")
    ]


def golden_games() -> list[GoldenGame]:
    """Every published game."""
    return [
        GoldenGame(row["game"], row["house_edge_percent"], row["decisions_per_hour"])
        for row in _rows("games.csv")
    ]


def _rows(name: str) -> list[dict[str, str]]:
    with (GOLDEN_DIRECTORY / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
