"""Headers that no honest client sends, as far as a client library lets them out.

gRPC's own client refuses what is not printable ASCII; the rest is here: tracing headers
of every shape, several correlation IDs, what only gRPC may set, and more than fits.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeAlias

from hypothesis import strategies as st

from tests.fault.hostile_values import MARK

Header: TypeAlias = tuple[str, str | bytes]

# The services' own limit; gRPC counts 32 bytes for each header beyond its text.
LARGEST_METADATA_BYTES = 16 * 1024
HEADER_OVERHEAD_BYTES = 32
# What a call has of its own: path, token, user agent and the like, and room for doubt.
OWN_METADATA_BYTES = 1_500

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

_PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)
_CORRELATION_IDS = (
    *("", " ", "a", "A-z.0_9", "-", "x" * 128, "x" * 129, "x" * 2_000, "a b", "a,b", "a;b"),
    *("%0a", f"${{jndi:ldap://{MARK}}}", f"'; -- {MARK}", f'{{"{MARK}": 1}}', f"../../{MARK}"),
)
_TRACE_PARENTS = (
    f"00-{TRACE_ID}-{SPAN_ID}-01",
    f"00-{TRACE_ID}-{SPAN_ID}-00",
    f"00-{TRACE_ID}-{SPAN_ID}-ff",
    f"ff-{TRACE_ID}-{SPAN_ID}-01",
    f"01-{TRACE_ID}-{SPAN_ID}-01-more",
    f"00-{'0' * 32}-{'0' * 16}-01",
    f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
    f"00-{TRACE_ID}-{SPAN_ID}",
    f"00-{'g' * 32}-{SPAN_ID}-01",
    f"00-{TRACE_ID * 60}-{SPAN_ID}-01",
    "----",
    "",
)
_TRACE_STATES = (
    "a=1",
    "a=1,b=2,a=3",
    ",".join(f"k{number}={'v' * 20}" for number in range(100)),
    "=",
    ",,,,",
    MARK * 100,
    f"a={MARK * 100}",
    f"{MARK}=1,{MARK.upper()}=1",
    f"{MARK};b",
)
# What is read as one character and would be sent on as three.
_SWELLING = "/" * 4_000
_BAGGAGE = (
    "a=1",
    "a=1;property=x,b=%20",
    "a=%ff%00%0d%0a",
    "%0d%0a=1",
    "=,=,;;;,a",
    "a=" + "%41" * 1_300,
    f"a={_SWELLING}",
    f"a={_SWELLING},b={_SWELLING}",
    ",".join(f"k{number}=/" for number in range(400)),
    MARK * 300,
)
_OF_THE_TRANSPORT = (
    ("grpc-timeout", "1n"),
    ("grpc-timeout", "99999999H"),
    ("grpc-timeout", "abc"),
    ("grpc-encoding", "identity"),
    ("grpc-encoding", "zip"),
    ("grpc-accept-encoding", "x" * 200),
    ("grpc-previous-rpc-attempts", "-1"),
    ("grpc-trace-bin", b"\xff" * 40),
    ("grpc-tags-bin", b"\0" * 3_000),
    ("content-type", "text/html"),
    ("te", "gzip"),
    ("user-agent", "x" * 1_000),
    ("host", "else.where"),
    ("connection", "close"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-casino-id", "00000000-0000-0000-0000-000000000000"),
    ("x-role", "admin"),
    ("x-b3-traceid", TRACE_ID),
)


@functools.cache
def headers() -> st.SearchStrategy[list[Header]]:
    """What is sent beside a good token; sometimes more than fits."""
    values: dict[str, tuple[str, ...]] = {
        "x-correlation-id": _CORRELATION_IDS,
        "traceparent": _TRACE_PARENTS,
        "tracestate": _TRACE_STATES,
        "baggage": _BAGGAGE,
    }
    # Both of the context's headers are read only when the first is good.
    traced = st.tuples(
        st.just(("traceparent", _TRACE_PARENTS[0])),
        st.tuples(st.just("tracestate"), st.sampled_from(_TRACE_STATES)),
    ).map(list)
    known = [
        st.tuples(st.just(key), st.sampled_from(shapes) | _PRINTABLE).map(lambda each: [each])
        for key, shapes in values.items()
    ]
    other = st.sampled_from(_OF_THE_TRANSPORT).map(lambda each: [each])
    binary = st.tuples(
        st.sampled_from(["x-correlation-id-bin", "authorization-bin", "x-bin"]),
        st.binary(max_size=100),
    ).map(lambda each: [each])
    many = st.builds(
        lambda count, length: [(f"x-{number}", "v" * length) for number in range(count)],
        st.sampled_from([1, 50, 200, 350, 600]),
        st.sampled_from([0, 1, 8, 2_000]),
    )
    return st.lists(st.one_of(*known, traced, other, binary, many), min_size=1, max_size=4).map(
        lambda groups: [header for group in groups for header in group]
    )


def size_of(sent: Sequence[Header]) -> int:
    """What gRPC counts of these headers, in bytes."""
    return sum(len(key) + len(value) + HEADER_OVERHEAD_BYTES for key, value in sent)


def may_be_too_large(sent: Sequence[Header]) -> bool:
    """Whether a call with these may be refused for the size of its headers alone."""
    return size_of(sent) + OWN_METADATA_BYTES > LARGEST_METADATA_BYTES
