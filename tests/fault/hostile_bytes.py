"""Bodies that are no request, or one by accident: a good one's bytes, cut and spliced.

An `Edit` is plain data, which Hypothesis can print and shrink; `spliced` applies it.
Nothing here knows a message.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

# Wire types 6 and 7 do not exist; 3 and 4 are groups, which proto3 has not.
_WIRE_TYPES = range(8)
_FIELD_NUMBERS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 19_000, 2**29 - 1)
# Deeper than protobuf follows.
_TOO_DEEP = 150


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def _tag(field_number: int, wire_type: int) -> bytes:
    return _varint(field_number << 3 | wire_type)


def _nested(field_number: int, depth: int) -> bytes:
    """A message in a message in a message: each holds the next as the same field."""
    body = b""
    for _ in range(depth):
        body = _tag(field_number, 2) + _varint(len(body)) + body
    return body


_FRAGMENTS = (
    # Field 1 as a text that is not UTF-8: overlong, a lone surrogate, beyond the last
    # character, cut off.
    b"\x0a\x02\xc0\xaf",
    b"\x0a\x03\xed\xa0\x80",
    b"\x0a\x04\xf4\x90\x80\x80",
    b"\x0a\x01\xe2",
    # Lengths beyond the end: by a little, by 2 and 4 GiB, and beyond 64 bits.
    b"\x0a\x7fabc",
    b"\x0a\xff\xff\xff\xff\x07",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x0a" + b"\xff" * 11,
    # Numbers of more than 64 bits, and of more bytes than they need.
    b"\x08" + b"\xff" * 9 + b"\x7f",
    b"\x08" + b"\x80" * 9 + b"\x00",
    # Groups: without an end, without a beginning, nested and whole.
    b"\x0b" * 200,
    b"\x0c",
    b"\x0b" * 50 + b"\x0c" * 50,
    *(_nested(number, _TOO_DEEP) for number in (1, 2, 4, 5, 6)),
    # Many empty fields, and a field nobody knows.
    b"\x12\x02\x1a\x00" * 3_000,
    b"\x0a\x00" * 3_000,
    _tag(2**29 - 1, 2) + _varint(5_000) + b"?" * 5_000,
    b"\0" * 20_000,
)


class Edit(NamedTuple):
    """From a place, counted round, so many bytes are taken out and these put in."""

    at: int
    removed: int
    inserted: bytes

    def __repr__(self) -> str:
        shown = repr(self.inserted[:40]) + ("…" if len(self.inserted) > 40 else "")
        return f"Edit({self.at}, {self.removed}, {shown} of {len(self.inserted)})"


class Splice(NamedTuple):
    """What becomes of a body: sent so many times in one, then edited."""

    times: int
    edits: tuple[Edit, ...]


@functools.cache
def splices() -> st.SearchStrategy[Splice]:
    """Bodies cut, flipped, doubled, with pieces put in, or with nothing left of them."""
    tags = st.builds(_tag, st.sampled_from(_FIELD_NUMBERS), st.sampled_from(_WIRE_TYPES))
    pieces = st.one_of(
        st.just(b""),
        st.sampled_from(_FRAGMENTS),
        st.binary(max_size=12),
        tags,
        st.builds(lambda tag, rest: tag + rest, tags, st.binary(max_size=12)),
    )
    edits = st.builds(
        Edit, st.integers(0, 300), st.sampled_from([0, 0, 1, 1, 2, 16, 10_000]), pieces
    )
    return st.builds(
        Splice, st.sampled_from([1, 1, 1, 2, 5, 0]), st.lists(edits, max_size=4).map(tuple)
    )


def spliced(good: bytes, splice: Splice) -> bytes:
    """The bytes that are sent in place of a good body."""
    body = good * splice.times
    for edit in splice.edits:
        at = edit.at % (len(body) + 1)
        body = body[:at] + edit.inserted + body[at + edit.removed :]
    return body


def all_spliced(good: bytes, wanted: Sequence[Splice]) -> list[bytes]:
    """One body for each splice."""
    return [spliced(good, splice) for splice in wanted]
