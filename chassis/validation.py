"""Parses the fields of a request and collects every violation, not just the first.

    fields = Fields()
    player_id = fields.uuid("player_id", request.player_id)
    …
    fields.check()

A bad field records a violation and returns a harmless value of its type, so that
the rest can be parsed too; nothing parsed may be used before `check()` returned.
This file must not know any message of ours.
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from uuid import UUID

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message
from google.type import money_pb2

from chassis import errors, wire
from chassis.context import CORRELATION_ID
from chassis.paging import DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?", re.ASCII)
_CURRENCY_CODE = re.compile(r"[A-Z]{3}", re.ASCII)
_TRACE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{0,128}", re.ASCII)

# What joins letters and emoji of many scripts is format, not text; it is let through.
_JOINERS = str.maketrans("", "", "\u200c\u200d")
# Long enough for any remark, short enough for a list.
LONGEST_NOTE_CHARACTERS = 500

# Money is kept in hundredths of a unit, the smallest coin of the currencies in use.
_NANOS_PER_HUNDREDTH = 10_000_000

_NIL_UUID = UUID(int=0)
_NO_TIME = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# PostgreSQL and Python agree from here on; play before it is a mistake.
_EARLIEST_TIME = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LATEST_TIME = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)


class Fields:
    """Parses fields one by one and remembers what was wrong with them."""

    def __init__(self) -> None:
        self._violations: list[errors.FieldViolation] = []

    def reject(self, field: str, description: str) -> None:
        """Records a violation of a rule that has no method here."""
        self._violations.append(errors.FieldViolation(field, description))

    def accepts(self, *fields: str) -> bool:
        """Whether none of the fields was rejected, so that their values can be compared."""
        return not {violation.field for violation in self._violations} & set(fields)

    def check(self) -> None:
        """Raises INVALID_ARGUMENT with every violation, if there was any."""
        if self._violations:
            raise errors.invalid_request(self._violations)

    def uuid(self, field: str, text: str) -> UUID:
        """A required UUID."""
        if not text:
            self.reject(field, "is required")
        elif _UUID.fullmatch(text) is None:
            self.reject(field, "must be a UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e")
        else:
            return UUID(text)
        return _NIL_UUID

    def optional_uuid(self, field: str, text: str) -> UUID | None:
        """A UUID, or None when the field is empty."""
        return self.uuid(field, text) if text else None

    def whole_number(self, field: str, value: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        if not least <= value <= most:
            self.reject(field, f"must be from {least} to {most}")
            return least
        return value

    def decimal(self, field: str, text: str, most: int) -> Decimal:
        """A required decimal string from 0 to `most` with at most 4 decimal places."""
        if not text:
            self.reject(field, "is required")
        elif _DECIMAL.fullmatch(text) is None:
            self.reject(field, "must be a plain decimal such as 1.5, with at most 4 decimal places")
        elif (value := wire.plain(Decimal(text))) > most:
            self.reject(field, f"must be from 0 to {most}")
        else:
            return value
        return Decimal(0)

    def money(self, field: str, money: money_pb2.Money, most_units: int) -> Decimal:
        """An amount from 0 to `most_units` in hundredths of a unit, with a currency."""
        if _CURRENCY_CODE.fullmatch(money.currency_code) is None:
            self.reject(f"{field}.currency_code", "must be three letters A-Z (ISO 4217)")
        if not 0 <= money.nanos < wire.NANOS_PER_UNIT or money.nanos % _NANOS_PER_HUNDREDTH:
            self.reject(
                f"{field}.nanos",
                "must be from 0 to 990000000 and a multiple of 10000000: 2 decimal places",
            )
        elif money.units < 0 or wire.money_to_decimal(money) > most_units:
            self.reject(f"{field}.units", f"must be from 0 to {most_units}")
        else:
            return wire.money_to_decimal(money)
        return Decimal(0)

    def time(self, field: str, timestamp: timestamp_pb2.Timestamp) -> datetime.datetime:
        """A moment after 1970, cut to microseconds."""
        if 0 <= timestamp.nanos < wire.NANOS_PER_UNIT:
            try:
                moment = wire.timestamp_to_datetime(timestamp)
            except OverflowError:
                moment = _LATEST_TIME
            if _EARLIEST_TIME < moment < _LATEST_TIME:
                return moment
        self.reject(field, "must be a time after 1970 and before 9999-12-31")
        return _NO_TIME

    def optional_time(self, message: Message, field: str) -> datetime.datetime | None:
        """The message's Timestamp `field` as a moment; None when it is not set."""
        return self.time(field, getattr(message, field)) if message.HasField(field) else None

    def text(self, field: str, value: str, most: int) -> str:
        """A required line of at most `most` printable characters."""
        if not value.strip():
            self.reject(field, "is required")
        elif len(value) > most:
            self.reject(field, f"must be at most {most} characters")
        elif not value.translate(_JOINERS).isprintable():
            self.reject(field, "must hold printable characters only")
        else:
            return value
        return ""

    def note(self, field: str, value: str, least: int) -> str:
        """A remark in somebody's own words, without the blanks around it."""
        trimmed = value.strip()
        if len(trimmed) < least:
            self.reject(field, f"must be at least {least} characters" if trimmed else "is required")
            return ""
        return self.text(field, trimmed, LONGEST_NOTE_CHARACTERS) if trimmed else ""

    def idempotency_key(self, field: str, value: str) -> str | None:
        """A key of at most 128 printable ASCII characters; None when empty."""
        if _IDEMPOTENCY_KEY.fullmatch(value) is None:
            self.reject(field, "must be at most 128 printable ASCII characters without spaces")
        return value or None

    def required_idempotency_key(self, field: str, value: str) -> str:
        """A key that must not be empty."""
        key = self.idempotency_key(field, value)
        if key is None:
            self.reject(field, "is required")
        return key or ""

    def correlation_id(self, field: str, value: str) -> str | None:
        """A correlation ID to filter by; None when empty."""
        if value and CORRELATION_ID.fullmatch(value) is None:
            self.reject(field, "must be 1 to 128 characters of A-Za-z0-9._-")
        return value or None

    def trace_id(self, field: str, value: str) -> str | None:
        """A W3C trace ID to filter by; None when empty."""
        if value and _TRACE_ID.fullmatch(value) is None:
            self.reject(field, "must be 32 hexadecimal digits in lower case")
        return value or None

    def page_size(self, field: str, value: int) -> int:
        """A page size: 0 means the default, a larger one than there is gives the largest."""
        if value < 0:
            self.reject(field, "must not be negative")
        return min(value, LARGEST_PAGE_SIZE) if value > 0 else DEFAULT_PAGE_SIZE
