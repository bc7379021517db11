"""What `explain` says to which evidence: one table of causes, and the next command of each."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.explain.causes import Cause, Verdict
from deploy.explain.commands import TlsFiles, Way
from deploy.explain.evidence import (
    Evidence,
    IdentifierKind,
    Service,
    SlipCase,
    Step,
    Trouble,
)
from deploy.explain.verdict import judge

ROOT = Path(__file__).parents[2]
SLIP_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
PLAYER_ID = "8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e01"
WAY = Way("127.0.0.1:50052", "127.0.0.1:50051", Path("admin.jwt"))
BOTH = frozenset(Service)
NOBODY_ANSWERS = Trouble(Service.LOYALTY, "UNAVAILABLE", "failed to connect")

# A state of the slip, then what its attempts ended with, as `CODE REASON` or `paid`.
OPEN, PENDING, ACCRUED, REFUSED = "open", "pending", "accrued", "refused"
ENTRY = loyalty_pb2.LedgerEntry(
    entry_id="e",
    player_id=PLAYER_ID,
    points_delta=525,
    reason=loyalty_pb2.LEDGER_REASON_BASE_ACCRUAL,
    source_id=SLIP_ID,
)


class Case(NamedTuple):
    """A situation, and what is to be said of it."""

    cause: Cause
    state: str
    attempts: tuple[str, ...] = ()
    entry: bool = False
    serving: frozenset[Service] = BOTH
    troubles: tuple[Trouble, ...] = ()
    points_due: int | None = None
    # Words of the next command.
    next: tuple[str, ...] = ("RecoverSlipLoyalty", SLIP_ID)


UNANSWERED, LATE = "UNAVAILABLE UNAVAILABLE", "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"
BUSY, AWAY = "UNAVAILABLE DATABASE_BUSY", "UNAVAILABLE DATABASE_UNAVAILABLE"
DRIFTED, NO_TOKEN = "DATA_LOSS BALANCE_DRIFTED", "UNAUTHENTICATED INVALID_TOKEN"
ONLY_US = frozenset({Service.RATINGSLIP})
HEALTH, LIST, SESSIONS = ("Health/Check", "50051"), ("ListLedgerEntries",), ("pg_blocking_pids",)
REWARD = ("IssueManualReward", '"525"', PLAYER_ID, SLIP_ID)
RECONCILE = ("ReconcileBalance", PLAYER_ID)

CASES = {
    "a slip that was never closed": Case(Cause.IN_PLAY, OPEN, next=("GetRatingSlip", SLIP_ID)),
    "closed and paid": Case(Cause.PAID, ACCRUED, ("paid",), entry=True, next=LIST),
    "paid at the third try": Case(
        Cause.PAID_LATE, ACCRUED, (UNANSWERED, BUSY, "paid"), entry=True, next=LIST
    ),
    "Loyalty is away": Case(
        Cause.LOYALTY_UNREACHABLE, PENDING, (UNANSWERED,), serving=ONLY_US, next=HEALTH
    ),
    "Loyalty serves by its own word, and does not answer": Case(
        Cause.LOYALTY_UNREACHABLE, PENDING, (LATE,), troubles=(NOBODY_ANSWERS,), next=HEALTH
    ),
    "Loyalty was away": Case(Cause.LOYALTY_WAS_AWAY, PENDING, (UNANSWERED,)),
    "Loyalty was frozen": Case(Cause.LOYALTY_WAS_AWAY, PENDING, (LATE,)),
    "Loyalty paid, and its answer was lost": Case(Cause.REPLY_LOST, PENDING, (LATE,), entry=True),
    "paid, and RatingSlip died before it knew": Case(Cause.REPLY_LOST, PENDING, entry=True),
    "a row is held in Loyalty's database": Case(
        Cause.DATABASE_SLOW, PENDING, (UNANSWERED, BUSY), next=SESSIONS
    ),
    "the same, and the last attempt ran out of time": Case(
        Cause.DATABASE_SLOW, PENDING, (BUSY, LATE), next=SESSIONS
    ),
    "Loyalty has lost its database": Case(Cause.DATABASE_AWAY, PENDING, (AWAY,), next=HEALTH),
    "the balance was changed behind the ledger's back": Case(
        Cause.BALANCE_DRIFTED, PENDING, (DRIFTED,) * 3, next=RECONCILE
    ),
    "the same, while Loyalty is away": Case(
        Cause.BALANCE_DRIFTED, PENDING, (DRIFTED,), serving=ONLY_US, next=RECONCILE
    ),
    "RatingSlip's key is not known to Loyalty": Case(
        Cause.SERVICE_TOKEN_REJECTED, PENDING, (NO_TOKEN,)
    ),
    "refused, and worth points": Case(
        Cause.REFUSED, REFUSED, ("ALREADY_EXISTS X",), points_due=525, next=REWARD
    ),
    "refused, and beyond pricing": Case(
        Cause.REFUSED, REFUSED, ("OUT_OF_RANGE X",), next=("GetRatingSlip", SLIP_ID)
    ),
    "refused, and somebody has paid another figure": Case(
        Cause.REFUSED, REFUSED, ("ALREADY_EXISTS X",), entry=True, next=(*LIST, SLIP_ID)
    ),
    "closed a moment ago, or by a process that died": Case(Cause.WAITING, PENDING),
    "a failure nobody has thought of": Case(Cause.ATTEMPT_FAILED, PENDING, ("INTERNAL INTERNAL",)),
}


def evidence_of(case: Case) -> Evidence:
    closed = case.state != OPEN
    slip = ratingslip_pb2.RatingSlip(
        rating_slip_id=SLIP_ID,
        player_id=PLAYER_ID,
        status=ratingslip_pb2.SLIP_STATUS_CLOSED if closed else ratingslip_pb2.SLIP_STATUS_OPEN,
        loyalty_state=ratingslip_pb2.LoyaltyState.Value(
            f"LOYALTY_STATE_{case.state.upper()}" if closed else "LOYALTY_STATE_NONE"
        ),
        loyalty_refusal_reason="X" if case.state == REFUSED else "",
    )
    events = [_attempt(outcome) for outcome in case.attempts]
    entries = [ENTRY] if case.entry else []
    return Evidence(
        SLIP_ID,
        IdentifierKind.RATING_SLIP,
        slips=[SlipCase(slip, events, entries, case.points_due)],
        serving=set(case.serving),
        troubles=list(case.troubles),
    )


def _attempt(outcome: str) -> ratingslip_pb2.SlipEvent:
    if outcome == "paid":
        return ratingslip_pb2.SlipEvent(kind=ratingslip_pb2.SLIP_EVENT_KIND_ACCRUE)
    code, reason = outcome.split()
    return ratingslip_pb2.SlipEvent(
        kind=ratingslip_pb2.SLIP_EVENT_KIND_FAIL, code=code, reason=reason, loyalty_call_ms=12
    )


@pytest.mark.parametrize("name", CASES)
def test_each_situation_has_its_cause_and_its_next_command(name: str) -> None:
    case = CASES[name]

    (verdict,) = judge(evidence_of(case), WAY)

    assert verdict.cause is case.cause
    assert verdict.sentence.endswith(".")
    for word in case.next:
        assert word in verdict.next_command
    require_pasteable(verdict)


def without_slip(**facts: Any) -> Verdict:
    (verdict,) = judge(Evidence("some.call", IdentifierKind.CORRELATION_ID, **facts), WAY)
    require_pasteable(verdict)
    return verdict


def test_an_id_without_a_slip_is_judged_by_whatever_else_is_known() -> None:
    refused = Trouble(Service.RATINGSLIP, "PERMISSION_DENIED", "role dealer may not")
    silent = Trouble(Service.RATINGSLIP, "UNAVAILABLE", "failed to connect")
    failed = Step(
        *("t", "s", "", "ratingslip", "pause_rating_slip"),
        *(datetime.datetime.now(datetime.UTC), 12.0, True, "DATABASE_BUSY"),
    )

    assert without_slip().cause is Cause.UNKNOWN_ID
    assert without_slip(troubles=[refused]).cause is Cause.NOT_PERMITTED
    assert without_slip(troubles=[silent]).cause is Cause.RATINGSLIP_UNREACHABLE
    assert without_slip(entries=[ENTRY]).cause is Cause.LEDGER_ONLY
    by_trace = without_slip(steps=[failed])
    assert by_trace.cause is Cause.CALL_FAILED
    assert "DATABASE_BUSY" in by_trace.sentence


def test_of_several_slips_the_one_in_trouble_comes_first() -> None:
    paid = evidence_of(CASES["closed and paid"])
    waiting = evidence_of(CASES["a row is held in Loyalty's database"])
    paid.slips += waiting.slips

    assert [verdict.cause for verdict in judge(paid, WAY)] == [Cause.DATABASE_SLOW, Cause.PAID]


def test_over_tls_the_commands_name_the_authority() -> None:
    server_only = dataclasses.replace(WAY, tls=TlsFiles(Path("our ca.pem")))
    mutual = dataclasses.replace(
        WAY, tls=TlsFiles(Path("our ca.pem"), Path("me.crt"), Path("me.key"))
    )
    evidence = evidence_of(CASES["Loyalty was away"])

    for way, options in (
        (server_only, ["-cacert", "our ca.pem", "-H"]),
        (mutual, ["-cacert", "our ca.pem", "-cert", "me.crt", "-key", "me.key", "-H"]),
    ):
        (verdict,) = judge(evidence, way)
        assert shlex.split(verdict.next_command)[1 : 1 + len(options)] == options


def require_pasteable(verdict: Verdict) -> None:
    """A shell can read the commands, and the runbook is there."""
    for command in (verdict.next_command, verdict.afterwards):
        words = shlex.split(command)
        assert not words or words[0] in ("grpcurl", "psql"), command
    assert not verdict.runbook or (ROOT / verdict.runbook).is_file()
