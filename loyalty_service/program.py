"""A casino's program: the terms a request asks for, parsed and checked, and versions as messages.

Which version pays what is decided in SQL. This file must not know how points are computed.
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import NamedTuple

import asyncpg
from google.type import timeofday_pb2

from casino.loyalty.v1 import loyalty_pb2
from chassis import wire
from chassis.validation import Fields

# A unit of theoretical win that is worth more was mistyped.
MOST_POINTS_PER_UNIT = 100_000
LARGEST_MULTIPLIER = 1_000
MOST_TIERS = 20
MOST_POINTS = 2**63 - 1
# Versions count up by one in 32 bits, and one more must fit.
NEWEST_BASE_VERSION = 2**31 - 2
# The longest name of the IANA database has 32.
LONGEST_TIME_ZONE_CHARACTERS = 64
LAST_HOUR = 23
LAST_MINUTE = 59

_TIER_NAME = re.compile(r"[A-Z0-9_]{1,32}", re.ASCII)
_ROUNDING_PREFIX = "ROUNDING_"


class ProgramTier(NamedTuple):
    """One step of the ladder, as `loyalty.program_tier`."""

    name: str
    lifetime_start: int
    multiplier: Decimal


class Terms(NamedTuple):
    """By what a casino pays, in the order the SQL function takes it."""

    points_per_unit: Decimal
    rounding: str
    tiers: list[ProgramTier]
    overdraw_floor: int
    time_zone: str
    gaming_day_start: datetime.time


class ProgramUpdate(NamedTuple):
    """The next version, in the order the SQL function takes it but for the terms inside."""

    base_version: int
    terms: Terms
    effective_time: datetime.datetime | None


def parse_update(fields: Fields, request: loyalty_pb2.UpdateLoyaltyProgramRequest) -> ProgramUpdate:
    """Reads the request; every violation goes to `fields`."""
    if not request.HasField("terms"):
        fields.reject("terms", "is required")
    return ProgramUpdate(
        base_version=fields.whole_number(
            "base_version", request.base_version, 0, NEWEST_BASE_VERSION
        ),
        # Without terms their fields are not worth a violation each.
        terms=parse_terms(fields if request.HasField("terms") else Fields(), request.terms),
        effective_time=fields.optional_time(request, "effective_time"),
    )


def parse_terms(fields: Fields, terms: loyalty_pb2.LoyaltyTerms) -> Terms:
    """Reads `terms.…`; every violation goes to `fields`."""
    return Terms(
        points_per_unit=fields.decimal(
            "terms.points_per_unit", terms.points_per_unit, MOST_POINTS_PER_UNIT
        ),
        rounding=_parse_rounding(fields, terms),
        tiers=_parse_tiers(fields, terms),
        overdraw_floor=fields.whole_number(
            "terms.overdraw_floor", terms.overdraw_floor, -MOST_POINTS, 0
        ),
        # The database knows which ones there are.
        time_zone=fields.text("terms.time_zone", terms.time_zone, LONGEST_TIME_ZONE_CHARACTERS),
        gaming_day_start=_parse_gaming_day_start(fields, terms),
    )


def encode_program(row: asyncpg.Record) -> loyalty_pb2.LoyaltyProgram:
    """A row of `loyalty.loyalty_program`, or the default that stands in for one."""
    start: datetime.time = row["gaming_day_start"]
    program = loyalty_pb2.LoyaltyProgram(
        version=row["version"],
        terms=loyalty_pb2.LoyaltyTerms(
            points_per_unit=wire.decimal_text(row["points_per_unit"]),
            rounding=loyalty_pb2.Rounding.Value(_ROUNDING_PREFIX + row["rounding"].upper()),
            tiers=[
                loyalty_pb2.ProgramTier(
                    name=tier["name"],
                    lifetime_start=tier["lifetime_start"],
                    multiplier=wire.decimal_text(tier["multiplier"]),
                )
                for tier in row["tiers"]
            ],
            overdraw_floor=row["overdraw_floor"],
            time_zone=row["time_zone"],
            gaming_day_start=timeofday_pb2.TimeOfDay(hours=start.hour, minutes=start.minute),
        ),
    )
    # Nobody has written the default, and it is in force since ever.
    if program.version > 0:
        program.effective_time.CopyFrom(wire.datetime_to_timestamp(row["effective_time"]))
        program.create_time.CopyFrom(wire.datetime_to_timestamp(row["created_time"]))
        program.created_by_staff_id = str(row["created_by_staff_id"])
    return program


def _parse_rounding(fields: Fields, terms: loyalty_pb2.LoyaltyTerms) -> str:
    if terms.rounding == loyalty_pb2.ROUNDING_UNSPECIFIED:
        fields.reject("terms.rounding", "is required")
    elif terms.rounding not in loyalty_pb2.Rounding.values():
        fields.reject("terms.rounding", "is not a way to round")
    else:
        return loyalty_pb2.Rounding.Name(terms.rounding).removeprefix(_ROUNDING_PREFIX).lower()
    return ""


def _parse_tiers(fields: Fields, terms: loyalty_pb2.LoyaltyTerms) -> list[ProgramTier]:
    if not 1 <= len(terms.tiers) <= MOST_TIERS:
        fields.reject("terms.tiers", f"must be 1 to {MOST_TIERS}")
        return []
    tiers: list[ProgramTier] = []
    for index, tier in enumerate(terms.tiers):
        path = f"terms.tiers[{index}]"
        if _TIER_NAME.fullmatch(tier.name) is None:
            fields.reject(f"{path}.name", "must be 1 to 32 of A-Z0-9_")
        elif tier.name in [below.name for below in tiers]:
            fields.reject(f"{path}.name", "is the name of a tier below")
        if not tiers and tier.lifetime_start != 0:
            fields.reject(f"{path}.lifetime_start", "must be 0 for the first tier")
        elif tiers and tier.lifetime_start <= tiers[-1].lifetime_start:
            fields.reject(f"{path}.lifetime_start", "must be above the tier before")
        multiplier = fields.decimal(f"{path}.multiplier", tier.multiplier, LARGEST_MULTIPLIER)
        tiers.append(ProgramTier(tier.name, tier.lifetime_start, multiplier))
    return tiers


def _parse_gaming_day_start(fields: Fields, terms: loyalty_pb2.LoyaltyTerms) -> datetime.time:
    field, start = "terms.gaming_day_start", terms.gaming_day_start
    if not terms.HasField("gaming_day_start"):
        fields.reject(field, "is required")
    elif start.seconds or start.nanos:
        fields.reject(field, "must be whole minutes")
    elif not (0 <= start.hours <= LAST_HOUR and 0 <= start.minutes <= LAST_MINUTE):
        fields.reject(field, "must be from 00:00 to 23:59")
    else:
        return datetime.time(start.hours, start.minutes)
    return datetime.time()
