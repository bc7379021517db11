"""The play a request describes, parsed and checked."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import NamedTuple

from casino.loyalty.v1 import loyalty_pb2
from chassis.validation import Fields

# No table in the world takes a higher bet, in any currency with hundredths.
LARGEST_BET_UNITS = 10_000_000
LARGEST_PERCENT = 100
# A decision every third of a second, all hour long.
MOST_DECISIONS_PER_HOUR = 10_000
LARGEST_MULTIPLIER = 1_000
# A slip that ran for more than a leap year was forgotten, not played.
LONGEST_PLAY_SECONDS = 366 * 86_400


class Play(NamedTuple):
    """What was played, in the order the SQL functions take it."""

    average_bet: Decimal
    currency_code: str
    house_edge_percent: Decimal
    decisions_per_hour: int
    point_multiplier: Decimal
    duration_seconds: int
    start_time: datetime.datetime
    end_time: datetime.datetime


def parse_play(fields: Fields, play: loyalty_pb2.Play) -> Play:
    """Reads `play.…`; every violation goes to `fields`."""
    parsed = Play(
        average_bet=fields.money("play.average_bet", play.average_bet, LARGEST_BET_UNITS),
        currency_code=play.average_bet.currency_code,
        house_edge_percent=fields.decimal(
            "play.house_edge_percent", play.house_edge_percent, LARGEST_PERCENT
        ),
        decisions_per_hour=fields.whole_number(
            "play.decisions_per_hour", play.decisions_per_hour, 1, MOST_DECISIONS_PER_HOUR
        ),
        point_multiplier=fields.decimal(
            "play.point_multiplier", play.point_multiplier, LARGEST_MULTIPLIER
        ),
        duration_seconds=fields.whole_number(
            "play.duration_seconds", play.duration_seconds, 0, LONGEST_PLAY_SECONDS
        ),
        start_time=fields.time("play.start_time", play.start_time),
        end_time=fields.time("play.end_time", play.end_time),
    )
    comparable = fields.accepts("play.start_time", "play.end_time")
    if comparable and parsed.end_time < parsed.start_time:
        fields.reject("play.end_time", "must not lie before play.start_time")
    return parsed
