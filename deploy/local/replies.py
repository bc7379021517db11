"""Where replies are, in the two protocols that go through the proxies.

Each function here makes a reader for one connection. Fed with every byte the server
sends, it says what of a chunk belongs to replies. It knows frames and no contents.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

# HTTP/2, RFC 9113: length (3 bytes), type, flags, stream (4 bytes); then the payload.
HTTP2_HEADER_BYTES = 9
HTTP2_DATA = 0
HTTP2_HEADERS = 1
HTTP2_END_STREAM = 0x1

# PostgreSQL's protocol: type, length (4 bytes, itself included); then the rest.
POSTGRES_HEADER_BYTES = 5
POSTGRES_READY_FOR_QUERY = b"Z"
# RowDescription and NoData are the last word when a statement is only prepared.
POSTGRES_LAST_MESSAGES = (POSTGRES_READY_FOR_QUERY, b"T", b"n")
# The answer to a question for encryption is one byte without a length: no.
POSTGRES_NO_ENCRYPTION = b"N"


class Replies(NamedTuple):
    """What a chunk has of replies."""

    # Whether any of its bytes belongs to one; what else comes keeps the connection going.
    has_some: bool
    # How many of them end in it.
    ended_count: int


ReplyReader: TypeAlias = Callable[[bytes], Replies]


def http2_replies() -> ReplyReader:
    """A reply is headers and data, up to the frame that ends its stream: a call's trailers."""
    unread = bytearray()

    def read(chunk: bytes) -> Replies:
        unread.extend(chunk)
        has_some, ended_count = False, 0
        while len(unread) >= HTTP2_HEADER_BYTES:
            size = HTTP2_HEADER_BYTES + int.from_bytes(unread[:3], "big")
            is_reply = unread[3] in (HTTP2_DATA, HTTP2_HEADERS)
            has_some = has_some or is_reply
            if len(unread) < size:
                break
            ended_count += is_reply and bool(unread[4] & HTTP2_END_STREAM)
            del unread[:size]
        return Replies(has_some, ended_count)

    return read


def postgres_replies() -> ReplyReader:
    """A reply is what follows a statement, or preparing one; greetings are none."""
    unread = bytearray()
    is_first, is_greeted = True, False

    def read(chunk: bytes) -> Replies:
        nonlocal is_first, is_greeted
        if is_first and chunk.startswith(POSTGRES_NO_ENCRYPTION):
            chunk = chunk[1:]
        is_first = False
        unread.extend(chunk)
        has_some, ended_count = is_greeted and bool(chunk), 0
        while len(unread) >= POSTGRES_HEADER_BYTES:
            (length,) = struct.unpack("!I", unread[1:POSTGRES_HEADER_BYTES])
            if len(unread) < 1 + length:
                break
            if is_greeted:
                has_some = True
                ended_count += unread.startswith(POSTGRES_LAST_MESSAGES)
            elif unread.startswith(POSTGRES_READY_FOR_QUERY):
                is_greeted = True
            del unread[: 1 + length]
        return Replies(has_some, ended_count)

    return read
