"""The verdict on one slip. The rules stand in the order in which they are tried, and the first
that fits is it.

This file must not know how evidence is gathered or shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.explain.causes import (
    CORRELATION_TRACING,
    DATABASE_FAILOVER,
    DRIFT,
    KEY_ROTATION,
    SAGA_RECOVERY,
    Cause,
    Verdict,
)
from deploy.explain.commands import Way
from deploy.explain.evidence import Evidence, Service, SlipCase

# What of Loyalty's reasons and codes says what is wrong, whatever else is known.
_SLOW = frozenset({"DATABASE_BUSY"})
_AWAY = frozenset({"DATABASE_UNAVAILABLE"})
_TOKEN = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
_NO_ANSWER = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})

_Rule: TypeAlias = Callable[[SlipCase, Evidence, Way], Verdict | None]


def judge_slip(case: SlipCase, evidence: Evidence, way: Way) -> Verdict:
    """The verdict on one slip."""
    for rule in _RULES:
        verdict = rule(case, evidence, way)
        if verdict is not None:
            return verdict
    raise AssertionError("the last rule fits every slip")


def _in_play(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    if case.slip.status == ratingslip_pb2.SLIP_STATUS_CLOSED:
        return None
    status = ratingslip_pb2.SlipStatus.Name(case.slip.status).removeprefix("SLIP_STATUS_")
    return Verdict(
        Cause.IN_PLAY,
        f"The slip is {status}: it was never closed, and no points are due yet.",
        way.get_slip(case.slip),
    )


def _paid(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    if case.slip.loyalty_state != ratingslip_pb2.LOYALTY_STATE_ACCRUED:
        return None
    listing = way.list_entries(rating_slip_id=case.slip.rating_slip_id)
    points = "" if case.payment is None else f"{case.payment.points_delta} "
    if not case.failures:
        return Verdict(
            Cause.PAID, f"The slip is closed and its {points}points are in the ledger.", listing
        )
    last = case.failures[-1]
    return Verdict(
        Cause.PAID_LATE,
        f"The slip is closed and its {points}points are in the ledger, once; "
        f"{_times(len(case.failures))} before that failed, the last with {_why(last)}.",
        listing,
        runbook=SAGA_RECOVERY,
    )


def _reply_lost(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    if case.payment is None or case.slip.loyalty_state != ratingslip_pb2.LOYALTY_STATE_PENDING:
        return None
    return Verdict(
        Cause.REPLY_LOST,
        f"Loyalty wrote the slip's {case.payment.points_delta} points at "
        f"{_clock(case.payment.recorded_time)}, but its answer was lost on the way back or could "
        "not be recorded, so the slip does not know it; another attempt finds the same entry "
        "and gives nothing twice.",
        way.recover_slip(case.slip),
        runbook=SAGA_RECOVERY,
    )


def _refused(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    if case.slip.loyalty_state != ratingslip_pb2.LOYALTY_STATE_REFUSED:
        return None
    reason = case.slip.loyalty_refusal_reason
    if case.payment is not None:
        return Verdict(
            Cause.REFUSED,
            f"Loyalty refused the slip for good ({reason}), and the ledger holds an entry for it "
            f"of {case.payment.points_delta} points by "
            f"{case.payment.acting_service or case.payment.staff_id}: compare the two.",
            way.list_entries(rating_slip_id=case.slip.rating_slip_id),
            afterwards=way.recover_slip(case.slip),
            runbook=SAGA_RECOVERY,
        )
    if case.points_due is None:
        return Verdict(
            Cause.REFUSED,
            f"Loyalty refused the slip for good ({reason}) and cannot price it either: look at "
            "its figures, and pay what is right by a manual reward that names the slip.",
            way.get_slip(case.slip),
            runbook=SAGA_RECOVERY,
        )
    return Verdict(
        Cause.REFUSED,
        f"Loyalty refused the slip for good ({reason}); it is worth {case.points_due} points, "
        "which a manual reward in its place can pay.",
        way.reward_in_place(case.slip, case.points_due),
        afterwards=way.recover_slip(case.slip),
        runbook=SAGA_RECOVERY,
    )


def _drifted(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    if _last_reason(case) != "BALANCE_DRIFTED":
        return None
    return Verdict(
        Cause.BALANCE_DRIFTED,
        f"The balance of player {case.slip.player_id} is not what the ledger says, so Loyalty "
        "writes nothing more for this player until the balance is repaired from the entries.",
        way.reconcile_balance(case.slip),
        afterwards=way.recover_slip(case.slip),
        runbook=DRIFT,
    )


def _loyalty_unreachable(case: SlipCase, evidence: Evidence, way: Way) -> Verdict | None:
    trouble = evidence.trouble_with(Service.LOYALTY)
    if Service.LOYALTY in evidence.serving and not (trouble and trouble.code in _NO_ANSWER):
        return None
    return Verdict(
        Cause.LOYALTY_UNREACHABLE,
        f"The slip is closed and its points wait, for Loyalty at {way.loyalty} does not serve; "
        "once it does, RatingSlip finishes the slip by itself.",
        way.check_health(way.loyalty),
        afterwards=way.recover_slip(case.slip),
        runbook=SAGA_RECOVERY,
    )


def _database_slow(case: SlipCase, evidence: Evidence, way: Way) -> Verdict | None:
    if not _waited_for_the_database(case, evidence):
        return None
    return Verdict(
        Cause.DATABASE_SLOW,
        "Loyalty's database was too busy for the slip's accrual: it waited too long for a "
        "connection, or for the player's row, which another session holds.",
        way.show_blocking_sessions(),
        afterwards=way.recover_slip(case.slip),
        runbook=DATABASE_FAILOVER,
    )


def _waited_for_the_database(case: SlipCase, evidence: Evidence) -> bool:
    """Whether an attempt was told so, or ran out of time on the same wait.

    Of several attempts that wait for one row at once, the database tells the first that it is
    busy; the others begin their wait anew then, and run out of RatingSlip's time.
    """
    if _last_reason(case) != "DEADLINE_EXCEEDED":
        return _last_reason(case) in _SLOW
    told = {event.reason for event in case.failures} | {step.error_type for step in evidence.steps}
    return not told.isdisjoint(_SLOW)


def _database_away(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    if _last_reason(case) not in _AWAY:
        return None
    return Verdict(
        Cause.DATABASE_AWAY,
        "Loyalty could not reach its database when the slip's points were due.",
        way.check_health(way.loyalty),
        afterwards=way.recover_slip(case.slip),
        runbook=DATABASE_FAILOVER,
    )


def _token_rejected(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    if not case.failures or case.failures[-1].code not in _TOKEN:
        return None
    return Verdict(
        Cause.SERVICE_TOKEN_REJECTED,
        f"Loyalty rejects RatingSlip's own token ({_why(case.failures[-1])}): the key that signs "
        "it is not in Loyalty's key set, or issuer, audience or clock differ.",
        way.recover_slip(case.slip),
        runbook=KEY_ROTATION,
    )


def _loyalty_was_away(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    if _last_reason(case) not in _NO_ANSWER:
        return None
    return Verdict(
        Cause.LOYALTY_WAS_AWAY,
        f"Loyalty did not answer {_times(len(case.failures))} ({_why(case.failures[-1])}), and "
        "serves now; RatingSlip tries again by itself.",
        way.recover_slip(case.slip),
        runbook=SAGA_RECOVERY,
    )


def _attempt_failed(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    if not case.failures:
        return None
    return Verdict(
        Cause.ATTEMPT_FAILED,
        f"{_times(len(case.failures)).capitalize()} to credit the slip's points failed, the last "
        f"with {_why(case.failures[-1])}; Loyalty's log has more under "
        f"{case.failures[-1].correlation_id}.",
        way.recover_slip(case.slip),
        runbook=CORRELATION_TRACING,
    )


def _waiting(case: SlipCase, _: Evidence, way: Way) -> Verdict | None:
    return Verdict(
        Cause.WAITING,
        "The slip is closed and no attempt to credit its points has ended: one is under way, or "
        "RatingSlip ended in the middle of it; it tries again by itself.",
        way.recover_slip(case.slip),
        runbook=SAGA_RECOVERY,
    )


_RULES: tuple[_Rule, ...] = (
    _in_play,
    _paid,
    _reply_lost,
    _refused,
    _drifted,
    _loyalty_unreachable,
    _database_slow,
    _database_away,
    _token_rejected,
    _loyalty_was_away,
    _attempt_failed,
    _waiting,
)


def _last_reason(case: SlipCase) -> str:
    return case.failures[-1].reason if case.failures else ""


def _why(event: ratingslip_pb2.SlipEvent) -> str:
    if event.reason == event.code:
        return f"{event.code} after {event.loyalty_call_ms} ms"
    return f"{event.reason} ({event.code}) after {event.loyalty_call_ms} ms"


def _times(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _clock(stamp: object) -> str:
    return stamp.ToDatetime().strftime("%H:%M:%S")  # type: ignore[attr-defined,no-any-return]
