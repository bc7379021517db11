"""Every event that the services can log: its name, level, logger, fields, and what it means.

This table is the one source of docs/log_schema.json and of the tables in docs/logs.md; tests
hold it against the code and against what running services write. It must not know how either
is shown.
"""

from __future__ import annotations

from typing import NamedTuple

from docs.log_fields import (
    CASINO,
    CASINO_OR_EMPTY,
    CLOSE,
    DURATION,
    FACTS,
    LEVELS,
    METHOD,
    NEXT_COMMAND,
    PLAYER,
    REASON,
    REASON_OR_EMPTY,
    ROLE,
    ROLE_OR_EMPTY,
    SESSION,
    SLIP,
    TIER,
    TRACEBACK,
    TRACEBACK_AT_TIMES,
    UUID,
    Field,
)


class Event(NamedTuple):
    """One kind of line."""

    name: str
    levels: tuple[str, ...]
    # The loggers that write it; empty when any can.
    loggers: tuple[str, ...]
    # When it is written, and what it tells.
    meaning: str
    fields: tuple[Field, ...] = ()


_STARTING = "chassis.server"
_RECOVERY = "ratingslip_service.recovery"
_DRIFT = "loyalty_service.drift"
_SCHEDULE = "loyalty_service.drift_schedule"
_VERIFICATION = "loyalty_service.verification"
_TELEMETRY = "loyalty_telemetry"

EVENTS = (
    Event(
        "rpc",
        ("INFO", "WARNING"),
        ("rpc",),
        "A call has ended. One for each call, health and reflection excepted; WARNING when the "
        "caller cannot mend the failure",
        (
            METHOD._replace(meaning="the RPC"),
            Field(
                "rpc.response.status_code",
                "string",
                "the canonical code, `OK` included",
                pattern=REASON,
            ),
            REASON_OR_EMPTY,
            Field(
                "error",
                "string",
                "the sentence that the caller was told, which can name a player; empty when OK",
                is_personal=True,
            ),
            DURATION,
            CASINO_OR_EMPTY,
            ROLE_OR_EMPTY,
            Field(
                "staff_id",
                "string",
                "the member of staff who is answerable; empty when nobody was authenticated",
                is_personal=True,
                pattern=f"({UUID})?",
            ),
            Field("acting_service", "string", "the service that called on their behalf, or empty"),
            *FACTS,
        ),
    ),
    Event(
        "unexpected_error",
        ("ERROR",),
        ("rpc", _RECOVERY),
        "A fault of the service: the caller was told INTERNAL, and this is the cause",
        (METHOD, TRACEBACK),
    ),
    Event(
        "RATING_SLIP_COMPLETED",
        ("INFO",),
        (_TELEMETRY,),
        "RatingSlip: a slip was closed and its points are in the ledger. Once for each slip",
        (PLAYER, Field("points", "integer", "the points it earned"), TIER, SESSION),
    ),
    Event(
        "POINTS_UPDATE_REQUESTED",
        ("INFO",),
        (_TELEMETRY,),
        "Loyalty: somebody asked for points to move, and this entry came of it, or was there",
        (
            PLAYER,
            Field(
                "reason",
                "string",
                "why, as `LedgerReason` has it",
                pattern="LEDGER_REASON_[A-Z_]+",
            ),
            Field("points", "integer", "the points of the entry"),
            TIER,
            SESSION,
            Field("is_existing", "boolean", "whether the entry was there before"),
        ),
    ),
    Event(
        "slip_completion_failed",
        ("ERROR",),
        ("ratingslip",),
        "RatingSlip: a slip is closed and its points could not be credited in this attempt",
        (
            SLIP,
            CLOSE,
            Field("error", "string", "Loyalty's reason, or the cause", pattern=REASON),
            Field("recovery_needed", "boolean", "always true"),
            NEXT_COMMAND,
        ),
    ),
    Event(
        "slip_refused",
        ("ERROR",),
        ("ratingslip",),
        "RatingSlip: Loyalty refused a closed slip for good; someone must look",
        (SLIP, CLOSE, Field("error", "string", "Loyalty's reason", pattern=REASON), NEXT_COMMAND),
    ),
    Event(
        "recovery_attempt",
        ("INFO",),
        (_RECOVERY,),
        "RatingSlip: the recoverer has tried to get a slip its points",
        (
            CASINO,
            FACTS[0]._replace(is_optional=False),
            Field("attempt", "integer", "which attempt of the recoverer's it was, from 1"),
            Field("outcome", "string", "how it ended", values=("accrued", "refused", "failed")),
        ),
    ),
    Event(
        "recovery_paused",
        ("WARNING",),
        (_RECOVERY,),
        "RatingSlip: Loyalty is not serving, so nothing is tried; one health check each poll",
        (Field("casinos_waiting", "integer", "casinos with slips that are due"),),
    ),
    Event(
        "recovery_failed",
        ("WARNING", "ERROR"),
        (_RECOVERY,),
        "RatingSlip: a step of the recoverer's own failed; the next poll tries again",
        (
            Field("step", "string", "which step", pattern="[a-z_]+"),
            REASON_OR_EMPTY,
            *FACTS,
            TRACEBACK_AT_TIMES,
        ),
    ),
    Event(
        "count_failed",
        ("WARNING", "ERROR"),
        ("ratingslip_service.backlog",),
        "RatingSlip: the unsettled slips could not be counted; their gauges keep the last figures",
        (REASON_OR_EMPTY, TRACEBACK_AT_TIMES),
    ),
    Event(
        "balance_drift",
        ("INFO", "WARNING", "CRITICAL"),
        (_DRIFT,),
        "Loyalty: what is cached for a player is not what the entries say",
        (
            CASINO,
            PLAYER,
            Field("has_balance", "boolean", "whether the player has a cached balance at all"),
            Field("current_balance", "integer", "the cached balance"),
            Field("ledger_balance", "integer", "the sum of the entries"),
            Field("lifetime_points", "integer", "the cached lifetime points"),
            Field("ledger_lifetime_points", "integer", "what the entries say of them"),
            Field("drift_points", "integer", "the larger difference, without sign"),
            Field("severity", "string", "how bad", values=("info", "warning", "critical")),
            Field("tier", "string", "the cached tier; null without a balance", is_nullable=True),
            Field(
                "ledger_tier",
                "string",
                "the tier that the last entry has left; null without one",
                is_nullable=True,
            ),
        ),
    ),
    Event(
        "drift_check",
        ("INFO", "WARNING", "CRITICAL"),
        (_DRIFT,),
        "Loyalty: a drift check has ended, asked for or daily",
        (
            CASINO,
            ROLE,
            PLAYER._replace(meaning="the one player; empty for all", pattern=f"({UUID})?"),
            Field("players_checked", "integer", "players looked at"),
            Field("players_drifted", "integer", "players who drift"),
            Field(
                "severity", "string", "the worst", values=("none", "info", "warning", "critical")
            ),
            Field("largest_drift_points", "integer", "the largest drift of a player"),
            DURATION,
        ),
    ),
    Event(
        "ledger_verification",
        ("INFO", "WARNING", "CRITICAL"),
        (_VERIFICATION,),
        "Loyalty: the daily verification of a casino's chains has ended; WARNING when its time "
        "was over first",
        (
            CASINO,
            ROLE,
            Field("entries_verified", "integer", "entries read"),
            Field("players_verified", "integer", "players whose last entry was reached"),
            Field("broken_chains", "integer", "players whose chain does not hold"),
            Field("is_complete", "boolean", "whether every chain was read to its end"),
            DURATION,
        ),
    ),
    Event(
        "chain_broken",
        ("CRITICAL",),
        (_VERIFICATION,),
        "Loyalty: the first entry of a player that does not fit, found by a verification",
        (
            CASINO,
            PLAYER,
            Field("entry_number", "integer", "its number in the player's ledger"),
            Field("entry_id", "string", "the entry; empty when it is missing"),
            Field("fault", "string", "what is wrong, as `ChainFault` has it", pattern="CHAIN_.*"),
        ),
    ),
    Event(
        "casino_enrolled",
        ("INFO",),
        (_SCHEDULE,),
        "Loyalty: a casino with first points is on the schedule of daily checks",
        (CASINO,),
    ),
    Event(
        "drift_lease_lost",
        ("WARNING",),
        (_SCHEDULE,),
        "Loyalty: a check took so long that another instance may have begun it, too",
        (CASINO,),
    ),
    Event(
        "drift_schedule_failed",
        ("WARNING", "ERROR"),
        (_SCHEDULE,),
        "Loyalty: a step of the schedule failed; a later round tries again",
        (
            Field("step", "string", "which step", pattern="[a-z_]+"),
            CASINO,
            REASON_OR_EMPTY,
            *FACTS,
            TRACEBACK_AT_TIMES,
        ),
    ),
    Event(
        "rate_limiter_unavailable",
        ("WARNING",),
        ("loyalty_service.rate_limit",),
        "Loyalty: Redis cannot be asked, so manual rewards are refused",
        (TRACEBACK,),
    ),
    Event(
        "database_error",
        ("ERROR",),
        ("chassis.database",),
        "The database refused a statement in a way that nobody planned for",
        (
            Field("sqlstate", "string", "PostgreSQL's code", is_nullable=True),
            TRACEBACK,
        ),
    ),
    Event(
        "database_argument_error",
        ("ERROR",),
        ("chassis.database",),
        "A value does not fit its SQL type: a mistake of the service",
        (TRACEBACK,),
    ),
    Event(
        "database_unreachable",
        ("WARNING",),
        (_STARTING,),
        "The health check does not reach the database. Once for each kind of trouble",
        (TRACEBACK,),
    ),
    Event(
        "health",
        ("INFO",),
        (_STARTING,),
        "What the health service says has changed",
        (Field("serving", "boolean", "SERVING, or not"),),
    ),
    Event(
        "listening",
        ("INFO",),
        (_STARTING,),
        "The service takes calls",
        (
            Field("port", "integer", "the port it listens on"),
            Field("service", "string", "the full name of the service"),
        ),
    ),
    Event(
        "metrics_listening",
        ("INFO",),
        ("chassis.prometheus",),
        "The Prometheus endpoint can be scraped",
        (
            Field("host", "string", "the address it listens on"),
            Field("port", "integer", "the port"),
        ),
    ),
    Event(
        "draining",
        ("INFO",),
        (_STARTING,),
        "The service was told to end: it refuses new calls and finishes the others",
    ),
    Event(
        "schema_applied",
        ("INFO",),
        ("chassis.migrate",),
        "`migrate` has applied a file",
        (
            Field("schema", "string", "the schema"),
            Field("file", "string", "the SQL file"),
        ),
    ),
    Event(
        "migrated",
        ("INFO",),
        ("chassis.process",),
        "`migrate` has ended",
        (
            Field("schema", "string", "the schema"),
            Field("applied", "array", "the names of the files it applied"),
        ),
    ),
    Event(
        "log_record_unreadable",
        LEVELS,
        (),
        "A record could not be made a line: a mistake in the code at `place`. Nothing else of it "
        "is kept",
        (
            Field("place", "string", "file and line that logged it"),
            Field("error", "string", "the kind of the failure"),
        ),
    ),
)
