"""Fingerprints of requests: what makes two requests under one key the same request.

It must not know any request; the values come in parsed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import uuid
from decimal import Decimal

from chassis import wire

Value = str | int | uuid.UUID | Decimal | datetime.datetime | None


def fingerprint(verb: str, *values: Value) -> bytes:
    """SHA-256 over a request's meaning: `1.5` and `1.50` are the same, in any spelling."""
    canonical = json.dumps([verb, *(_canonical(value) for value in values)])
    return hashlib.sha256(canonical.encode()).digest()


def _canonical(value: Value) -> str | None:
    match value:
        case None:
            return None
        case Decimal():
            return wire.decimal_text(value)
        case datetime.datetime():
            return value.astimezone(datetime.UTC).isoformat(timespec="microseconds")
        case _:
            return str(value)
