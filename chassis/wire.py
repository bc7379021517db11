"""Conversions between protobuf's well-known types and Python's exact ones.

Owns Money, Timestamp, Date and UUID text. It must not know a message of ours, nor
decide what is acceptable: `validation.py` does that.
"""

from __future__ import annotations

import datetime
import decimal
import uuid

from google.protobuf import timestamp_pb2
from google.type import date_pb2, money_pb2

NANOS_PER_UNIT = 1_000_000_000
NANOS_PER_MICROSECOND = 1_000
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def money_to_decimal(money: money_pb2.Money) -> decimal.Decimal:
    """The exact amount in currency units, without trailing zeros."""
    return plain(decimal.Decimal(money.units) + decimal.Decimal(money.nanos).scaleb(-9))


def decimal_to_money(amount: decimal.Decimal, currency_code: str) -> money_pb2.Money:
    """An amount as Money; exact down to a billionth of a unit."""
    units = int(amount)
    nanos = int((amount - units) * NANOS_PER_UNIT)
    return money_pb2.Money(currency_code=currency_code, units=units, nanos=nanos)


def timestamp_to_datetime(timestamp: timestamp_pb2.Timestamp) -> datetime.datetime:
    """The moment in UTC, cut to whole microseconds, which is what PostgreSQL keeps.

    Raises `OverflowError` outside of the years 1 to 9999.
    """
    return _EPOCH + datetime.timedelta(
        seconds=timestamp.seconds, microseconds=timestamp.nanos // NANOS_PER_MICROSECOND
    )


def datetime_to_timestamp(moment: datetime.datetime) -> timestamp_pb2.Timestamp:
    """The moment as a Timestamp, exact to the microsecond."""
    since_epoch = moment - _EPOCH
    return timestamp_pb2.Timestamp(
        seconds=since_epoch.days * 86_400 + since_epoch.seconds,
        nanos=since_epoch.microseconds * NANOS_PER_MICROSECOND,
    )


def optional_timestamp(moment: datetime.datetime | None) -> timestamp_pb2.Timestamp | None:
    """The moment as a Timestamp; None stays None, which leaves a field unset."""
    return None if moment is None else datetime_to_timestamp(moment)


def date_to_proto(day: datetime.date) -> date_pb2.Date:
    """A calendar day."""
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


def optional_uuid(value: uuid.UUID | None) -> str:
    """A UUID's text; empty for None."""
    return "" if value is None else str(value)


def plain(value: decimal.Decimal) -> decimal.Decimal:
    """The same number without trailing zeros, so that what is stored has one spelling."""
    return decimal.Decimal(decimal_text(value))


def decimal_text(value: decimal.Decimal) -> str:
    """A decimal without exponent and without trailing zeros: `1.50` becomes `1.5`."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
