"""Page tokens: opaque to callers, bound to one casino and one set of filters.

A token is the position of a page's last row, signed with HMAC-SHA256 together
with what the page was asked for, so a token that is forged, truncated, of another
casino or used with other filters is refused. Every replica must have the same key.
This file must not know what a row or a filter is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence

import grpc

from chassis.errors import ServiceError

# What a page holds when the caller does not say, and at most: the same for every list.
DEFAULT_PAGE_SIZE = 20
LARGEST_PAGE_SIZE = 100

# Half of SHA-256: 128 bits cannot be guessed, and keep the token short.
_SIGNATURE_BYTES = 16


class PageTokens:
    """Signs and opens page tokens. `key` is secret and at least 32 characters long."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def seal(self, position: Sequence[str], binding: Sequence[object]) -> str:
        """A token for the page after `position`, valid for the same `binding` only."""
        payload = json.dumps(list(position), separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._signature(payload, binding) + payload).decode()

    def open(self, token: str, binding: Sequence[object]) -> list[str]:
        """The position in a token; raises INVALID_ARGUMENT `INVALID_PAGE_TOKEN`."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise _invalid_page_token() from None
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(payload, binding)):
            raise _invalid_page_token()
        position: list[str] = json.loads(payload)
        return position

    def _signature(self, payload: bytes, binding: Sequence[object]) -> bytes:
        # A filter that is not set stays null, apart from any word somebody filters by.
        words = [None if value is None else str(value) for value in binding]
        bound = json.dumps(words, separators=(",", ":")).encode()
        # The length in front keeps payload and binding from running into each other.
        signed = len(payload).to_bytes(4, "big") + payload + bound
        return hmac.new(self._key, signed, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _invalid_page_token() -> ServiceError:
    return ServiceError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
        "the page token is not one of this list with these filters",
    )
