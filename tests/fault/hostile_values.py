"""Values that no honest caller sends, for every type a field of a message may have.

Each strategy also makes values that are good, at the edge of what is good, or good for
another field: a request that is refused at once never reaches the code behind. Nothing
here knows a message of ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import strategies as st

# Stands in long and in evil texts: whoever finds it in an answer or in a log has found
# what a caller wrote.
MARK = "hostile-word-7c1e"

# The largest request that is read; see LARGEST_MESSAGE_BYTES of `chassis.server`.
LARGEST_MESSAGE_BYTES = 256 * 1024

_TEXTS_OF_ONE_CHARACTER = (
    "\0\x07\x7f\x85\u00ad\u061c\u200b\u200c\u2028\u202e\u2066\ud7ff\ue000\ufeff\ufffe\uffff"
)
_CHARACTERS = (
    *_TEXTS_OF_ONE_CHARACTER,
    "\U000e0001",
    "\U0010ffff",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u202eturned round\u202c",
    "e" + "\u0301" * 300,
    "ﷺ" * 500,
    " ",
    "\t\r\n",
    "\u3000",
    f"{MARK}\0{MARK}",
    f"{MARK}\nx-correlation-id: {MARK}",
)
_LONG = (
    *("x" * length for length in (65, 81, 128, 129, 500, 501, 9_999)),
    MARK * 1_000,
    # Just what is read, with the rest of a request, and more than that.
    MARK * (LARGEST_MESSAGE_BYTES // len(MARK) - 100),
    MARK * (LARGEST_MESSAGE_BYTES // len(MARK) + 1),
)
_CODE = (
    f"'; DROP TABLE {MARK}; --",
    f"' OR '{MARK}'='{MARK}",
    f"$1 :{MARK} $${MARK}$$ \\x00",
    f"%s%n%d {{0}} {{{MARK}}} {{0.__class__}}",
    f"${{jndi:ldap://{MARK}}} `{MARK}` $({MARK})",
    f"<script>{MARK}</script>",
    f'{{"{MARK}": [[[[null]]]]}}',
    f"../../../../etc/{MARK}",
    f"{MARK}" + "!" * 20,
)
_NUMBERS = (
    "0",
    "-0",
    "+1",
    "--1",
    "-1",
    "1",
    "1.5",
    "1.00000",
    "0.00001",
    "0.0001",
    "100",
    "100.0001",
    "1000",
    "1000.0001",
    "100000",
    "999999999999.9999",
    "0000000000001",
    "1.",
    ".5",
    "1e3",
    "1e999",
    "1E-999999999",
    "0x10",
    "1_000",
    "1,5",
    " 1",
    "1\n",
    "NaN",
    "sNaN",
    "Infinity",
    "١",
    "１.５",
    "½",
    "9" * 5_000,
)
_IDENTIFIERS = (
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0F8FAD5B-D9CB-469F-A165-70867728950E",
    "{0f8fad5b-d9cb-469f-a165-70867728950e}",
    "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e",
    "0f8fad5bd9cb469fa16570867728950e",
    "0f8fad5b-d9cb-469f-a165-70867728950e\n",
    "0f8fad5b-d9cb-469f-a165-70867728950",
    "٠f8fad5b-d9cb-469f-a165-70867728950e",
    "0f8fad5b-d9cb-469f-a165-7086772895_e",
)
_NAMES = (
    "USD",
    "EUR",
    "usd",
    "XX",
    "ÄÖÜ",
    "UTC",
    "Europe/Vienna",
    "Africa/Monrovia",
    "Pacific/Kiritimati",
    "EST5EDT",
    "Etc/GMT+12",
    "<+01>-1",
    "UTC+25",
    "+167:59",
    "localtime",
    "posixrules",
    "posix/UTC",
    "Factory",
    "infinity",
    "now",
    "BRONZE",
    "A-correlation.ID_1",
)
TEXTS = ("", *_CHARACTERS, *_LONG, *_CODE, *_NUMBERS, *_IDENTIFIERS, *_NAMES)

_WHOLE_NUMBERS = (
    *(0, 1, -1, 2, 3, 9, 10, 50, 99, 100, 101, 1_000, 9_999, 10_001, 31_622_400, 31_622_401),
    *(10_000_000, 10_000_001, 990_000_000, 999_999_999, 1_000_000_000, 1_000_000_001),
    *(-10_000_000, -999_999_999, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32),
    # Where a time leaves the years 1 to 9999, the years of PostgreSQL, and 64 bits of
    # microseconds.
    *(253_402_214_400, 253_402_300_800, -62_135_596_801, 9_223_372_036_855, 9_224_318_016_000),
    *(2**53 - 1, 2**53 + 1, 2**62, 2**63 - 2, 2**63 - 1, -(2**63), -(2**63) + 1, 2**64 - 1),
)
_INTEGER_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    # Any number may stand where an enum is expected; so may one that no word belongs to.
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}
# In seconds from now: either side of what a start may lie back, and of now itself.
_DISTANCES_SECONDS = (-172_860, -172_740, -7_200, -3_600, -1, 0, 1, 3_600, 10**9)


@dataclasses.dataclass(frozen=True)
class Cleared:
    """The field is not set, or its list is empty."""


@dataclasses.dataclass(frozen=True)
class Present:
    """The message is there, with nothing in it."""


@dataclasses.dataclass(frozen=True)
class FromNow:
    """A timestamp that lies this far from the moment it is sent."""

    seconds: int


@dataclasses.dataclass(frozen=True)
class Borrowed:
    """An ID that is good somewhere else: one of those known to the test, counted round."""

    place: int


@dataclasses.dataclass(frozen=True)
class Repeated:
    """A list of so many elements: what is in it, over and over."""

    times: int


Value: TypeAlias = Any


def texts() -> st.SearchStrategy[str]:
    """Any text that protobuf lets into a string."""
    return st.sampled_from(TEXTS) | st.text(max_size=40)


def whole_numbers(least: int, most: int) -> st.SearchStrategy[int]:
    """Any number that fits, mostly one at an edge of something."""
    known = tuple(number for number in _WHOLE_NUMBERS if least <= number <= most)
    return st.sampled_from(known) | st.integers(least, most)


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Value]:
    """Any value of a field that is no message."""
    if field.cpp_type in _INTEGER_RANGES:
        least, most = _INTEGER_RANGES[field.cpp_type]
        if field.enum_type is None:
            return whole_numbers(least, most)
        return st.sampled_from([value.number for value in field.enum_type.values]) | whole_numbers(
            least, most
        )
    if field.type == FieldDescriptor.TYPE_STRING:
        return texts() | st.builds(Borrowed, st.integers(0, 9))
    by_type: Mapping[int, st.SearchStrategy[Value]] = {
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_STRING: st.binary(max_size=200),
        FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    }
    return by_type[field.cpp_type]


def messages(descriptor: Descriptor) -> st.SearchStrategy[Value]:
    """What becomes of a message in a field, beside what becomes of its own fields."""
    if descriptor.full_name == "google.protobuf.Timestamp":
        distances = st.builds(FromNow, st.sampled_from(_DISTANCES_SECONDS))
        return distances | st.sampled_from([Cleared(), Present()])
    return st.sampled_from([Cleared(), Present()])


def lists() -> st.SearchStrategy[Value]:
    """How long a repeated field becomes: around limits, and far beyond any."""
    return st.builds(Repeated, st.sampled_from([0, 1, 2, 3, 19, 20, 21, 100, 3_000]))
