"""A casino's terms in plain Python: what a play is worth, and which day a moment belongs to.

Written from the rules and not from the SQL, as is `tests.database.ledger_model`, which uses it.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from tests.database.accruals import SlipCredit
from tests.reference import (
    CENTS_PER_UNIT,
    DEFAULT_POINTS_PER_UNIT,
    DEFAULT_ROUNDING,
    DEFAULT_TIERS,
    Tier,
    standing,
)

SINCE_EVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)


class Price(NamedTuple):
    """What something is worth, and every input of that."""

    points: int
    inputs: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Program:
    """A version of a casino's terms; without arguments the product's defaults.

    The time zone is one without summer time, so that its offset says all.
    """

    version: int = 0
    effective_time: datetime.datetime = SINCE_EVER
    points_per_unit: str = DEFAULT_POINTS_PER_UNIT
    rounding: str = DEFAULT_ROUNDING
    tiers: tuple[Tier, ...] = DEFAULT_TIERS
    overdraw_floor: int = -5000
    time_zone: str = "UTC"
    utc_offset: datetime.timedelta = datetime.timedelta(0)
    gaming_day_start: datetime.time = datetime.time(6)

    def gaming_day(self, moment: datetime.datetime) -> datetime.date:
        """The day of the casino that a moment belongs to."""
        local = moment.astimezone(datetime.timezone(self.utc_offset))
        start = self.gaming_day_start
        return (local - datetime.timedelta(hours=start.hour, minutes=start.minute)).date()

    def price(self, credit: SlipCredit, lifetime: int) -> Price:
        """What a play is worth to a player with so many lifetime points."""
        terms = dataclasses.replace(
            credit.terms, points_per_unit=self.points_per_unit, rounding=self.rounding
        )
        rate = standing(lifetime, self.tiers).tier.multiplier
        theo_units, theo_cents = divmod(terms.theo_floor_cents(), CENTS_PER_UNIT)
        return Price(
            terms.points(rate),
            {
                "averageBet": terms.average_bet,
                "currencyCode": credit.play.currency_code,
                "houseEdgePercent": terms.house_edge_percent,
                "decisionsPerHour": terms.decisions_per_hour,
                "pointMultiplier": terms.point_multiplier,
                "durationSeconds": terms.duration_seconds,
                "startTime": _time_text(credit.play.start_time),
                "endTime": _time_text(credit.play.end_time),
                "programVersion": str(self.version),
                "pointsPerUnit": self.points_per_unit,
                "rounding": self.rounding,
                "tierMultiplier": _decimal_text(rate),
                "theo": f"{theo_units}.{theo_cents:02}",
            },
        )


def _time_text(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _decimal_text(value: Fraction) -> str:
    return str(Decimal(value.numerator) / Decimal(value.denominator))
