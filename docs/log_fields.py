"""The fields of log lines: the ones that every line has, and the ones that several events share.

What a name means, it means in every event. It must not know an event.
"""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """One field of a line."""

    name: str
    # Of JSON Schema: string, integer, number, boolean, or array, which is of strings.
    kind: str
    meaning: str
    # It points at a person: a player or a member of staff.
    is_personal: bool = False
    is_optional: bool = False
    # All that it can be, where that is known.
    values: tuple[str, ...] = ()
    # What a string looks like.
    pattern: str = ""
    # Whether it may also be null.
    is_nullable: bool = False


UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
CORRELATION_ID = r"[A-Za-z0-9._-]{1,128}"
REASON = r"[A-Z][A-Z0-9_]*"
CALL_METHOD = r"(casino\.[a-z.0-9]+\.[A-Za-z]+/[A-Za-z]+|[a-z_]+)"

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

COMMON = (
    Field(
        "time",
        "string",
        "when it was logged, UTC, with microseconds",
        pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00",
    ),
    Field("level", "string", "how bad it is", values=LEVELS),
    Field("logger", "string", "which part of the program says it"),
    Field("event", "string", "what happened; the name to filter by"),
    Field(
        "correlation_id",
        "string",
        "the call's correlation ID; not there outside of a call. A service's own work makes one "
        "that begins with `recovery-`, `backlog-` or `drift-`; a slip is recovered under that of "
        "its close",
        is_optional=True,
        pattern=CORRELATION_ID,
    ),
    Field(
        "trace_id",
        "string",
        "the trace; not there where no span is open",
        is_optional=True,
        pattern=r"[0-9a-f]{32}",
    ),
    Field(
        "span_id",
        "string",
        "the span of that trace in which it was logged",
        is_optional=True,
        pattern=r"[0-9a-f]{16}",
    ),
)

CASINO = Field("casino.id", "string", "the casino", pattern=UUID)
CASINO_OR_EMPTY = Field(
    "casino.id", "string", "the casino; empty when nobody was authenticated", pattern=f"({UUID})?"
)
ROLE = Field(
    "casino.role",
    "string",
    "the role that called; `scheduler` is the service itself",
    values=("dealer", "cashier", "pit_boss", "admin", "service", "scheduler"),
)
ROLE_OR_EMPTY = ROLE._replace(
    meaning="the caller's role; empty when nobody was authenticated",
    values=("", *(value for value in ROLE.values if value != "scheduler")),
)
PLAYER = Field("player_id", "string", "the player", is_personal=True, pattern=UUID)
SLIP = Field("rating_slip_id", "string", "the rating slip", pattern=UUID)
METHOD = Field("rpc.method", "string", "the RPC, or the background step", pattern=CALL_METHOD)
REASON_OR_EMPTY = Field(
    "reason",
    "string",
    "the reason of the failure, by the [error catalogue](errors.md); empty where there is none",
    pattern=f"({REASON})?",
)
DURATION = Field("duration_ms", "number", "how long it took, in milliseconds")
SESSION = Field("session_id", "string", "the rating slip; empty when it is about none")
TIER = Field("tier", "string", "the player's tier afterwards")
CLOSE = Field(
    "close_correlation_id",
    "string",
    "the correlation ID under which the slip was closed",
    pattern=CORRELATION_ID,
)
NEXT_COMMAND = Field("next_command", "string", "what to type next")
TRACEBACK = Field(
    "exc_info",
    "string",
    "the traceback. Words of the database can be in it, and so the content of a row",
    is_personal=True,
)
TRACEBACK_AT_TIMES = TRACEBACK._replace(is_optional=True)

# What a call has learned about itself on its way; see `facts` in chassis/context.py.
FACTS = (
    Field("casino.rating_slip_id", "string", "the rating slip", is_optional=True, pattern=UUID),
    Field("casino.ledger_entry_id", "string", "the ledger entry", is_optional=True, pattern=UUID),
    Field(
        "casino.idempotency_replay",
        "boolean",
        "whether the answer is that of an earlier call",
        is_optional=True,
    ),
    Field(
        "db.response.status_code",
        "string",
        "what the database answered: a SQLSTATE, or the kind of the failure",
        is_optional=True,
    ),
)
