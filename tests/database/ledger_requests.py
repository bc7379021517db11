"""What the state machine asks of the ledger: Hypothesis strategies for the parts of requests.

There are few of everything (players, slips, keys), so that requests meet, and amounts at
the edge of what a balance allows come as names, which the machine turns into points.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from fractions import Fraction

from hypothesis import strategies as st

from tests.database.ledger_rules import MOST_POINTS
from tests.database.program_model import Program
from tests.reference import DEFAULT_TIERS, Terms, Tier

NAMESPACE = uuid.UUID("6f0e5f0e-55f4-4a9c-8d1a-3f4f2a5d7c10")


def named(kind: str, number: int) -> uuid.UUID:
    """The same ID for the same thing, in every casino."""
    return uuid.uuid5(NAMESPACE, f"{kind} {number}")


def maybe_named(kind: str, number: int | None) -> uuid.UUID | None:
    """Nothing, when there is no number."""
    return None if number is None else named(kind, number)


PLAYS = {
    # 1050 points for BRONZE, so that the next step of the ladder is never far.
    "hour": Terms("100", "1.5", "70", "3600"),
    # Much behind the point, for every way of rounding.
    "odd": Terms("33.33", "1.25", "77", "7177", point_multiplier="1.3"),
    "half a point": Terms("0.50", "1", "36", "1000"),
    "no bet": Terms("0", "1.5", "70", "3600"),
    "no time": Terms("100", "1.5", "70", "0"),
    # Beyond 64 bits at 10 points a unit, in every tier.
    "absurd": Terms("10000000", "100", "10000", "31622400", point_multiplier="1000"),
}
PAUSES = {
    "a second": datetime.timedelta(seconds=1),
    "an hour": datetime.timedelta(hours=1),
    "a day": datetime.timedelta(days=1),
}


class Start(enum.Enum):
    """When a play began: under which of a casino's programs."""

    BEFORE_ANY_PROGRAM = "before any program"
    UNDER_THE_FIRST = "under the first"
    NOW = "now"


class Edge(enum.Enum):
    """An amount at the edge of what the player's balance allows."""

    ALL = "all there is"
    ONE_MORE = "one more than there is"
    TO_FLOOR = "down to the floor"
    BELOW_FLOOR = "one below the floor"
    TO_BRIM = "up to 2^63 - 1"
    OVER_BRIM = "one over 2^63 - 1"

    def points(self, balance: int, floor: int) -> int:
        """The points that are meant, within what a request may ask for."""
        points = {
            Edge.ALL: balance,
            Edge.ONE_MORE: balance + 1,
            Edge.TO_FLOOR: balance - floor,
            Edge.BELOW_FLOOR: balance - floor + 1,
            Edge.TO_BRIM: MOST_POINTS - balance,
            Edge.OVER_BRIM: MOST_POINTS - balance + 1,
        }
        return min(max(points[self], 1), MOST_POINTS)


CASINOS = st.integers(0, 1)
# The last one has no points yet.
PLAYERS = st.sampled_from([0, 0, 0, 1, 1, 2])
SLIPS = st.integers(0, 5)
# Mostly those that were paid when it all began.
PAID_SLIPS = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4, 5])
CAMPAIGNS = st.integers(0, 3)
STAFF = st.integers(0, 1)
MAYBE = st.none() | st.integers(0, 2)
KEYS = st.sampled_from([""] * 12 + [f"key-{number}" for number in range(12)])
REQUIRED_KEYS = st.sampled_from([f"key-{number}" for number in range(40)])
NOTES = st.sampled_from(
    ["a wheel that stood still", 'she said "never \\ again", шалом 🂡 / \u200eשלום']
)
MULTIPLIERS = st.sampled_from(["1.5", "2.3333", "1.0001", "2", "100"])
EDGES = st.sampled_from(Edge)
_ROUND = st.sampled_from([1, 250, 999, 1000, 4000, 5000, 15_000])
_LARGE = st.sampled_from([2**62, MOST_POINTS - 1, MOST_POINTS])
POINTS = st.one_of(
    st.integers(1, 5), st.integers(1, 30_000), st.integers(1, 30_000), _ROUND, _ROUND, EDGES, _LARGE
)

_TIME_ZONES = {
    "UTC": datetime.timedelta(0),
    "Asia/Kolkata": datetime.timedelta(hours=5, minutes=30),
    "Pacific/Kiritimati": datetime.timedelta(hours=14),
}
_LADDERS = (
    DEFAULT_TIERS,
    (Tier("PEARL", 0, Fraction("0.5")), Tier("RUBY", 300, Fraction(3))),
    (Tier("GUEST", 0, Fraction(1)),),
)
# They pay and round otherwise than the default program, which is in force somewhere anyway.
PROGRAMS = st.builds(
    Program,
    points_per_unit=st.sampled_from(["7", "0.333"]),
    rounding=st.sampled_from(["nearest", "ceil"]),
    tiers=st.sampled_from(_LADDERS),
    overdraw_floor=st.sampled_from([-1, -300, -5000, -5000, 0]),
    time_zone=st.sampled_from(list(_TIME_ZONES)),
    gaming_day_start=st.sampled_from([datetime.time(0), datetime.time(4, 30), datetime.time(6)]),
).map(lambda program: dataclasses.replace(program, utc_offset=_TIME_ZONES[program.time_zone]))
