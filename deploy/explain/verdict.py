"""The verdicts on a case: the cause in one word, what happened in one sentence, what to type next.

Owns which slip comes first, and what is said of a case without any. It must not know how
evidence is gathered or shown.
"""

from __future__ import annotations

from casino.loyalty.v1 import loyalty_pb2
from deploy.explain.causes import (
    CORRELATION_TRACING,
    KEY_ROTATION,
    SAGA_RECOVERY,
    Cause,
    Verdict,
)
from deploy.explain.commands import Way
from deploy.explain.evidence import Evidence, Service
from deploy.explain.slip_rules import judge_slip

# The codes with which a service refuses a token, or lets it read nothing.
_TOKEN = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})


def judge(evidence: Evidence, way: Way) -> list[Verdict]:
    """One verdict for each slip of the case, or one for a case without any; the worst first."""
    if not evidence.slips:
        return [_without_slip(evidence, way)]
    verdicts = [judge_slip(case, evidence, way) for case in evidence.slips]
    return sorted(verdicts, key=lambda verdict: verdict.cause in (Cause.PAID, Cause.PAID_LATE))


def _without_slip(evidence: Evidence, way: Way) -> Verdict:
    ratingslip = evidence.trouble_with(Service.RATINGSLIP)
    loyalty = evidence.trouble_with(Service.LOYALTY)
    for trouble in (ratingslip, loyalty):
        if trouble is not None and trouble.code in _TOKEN:
            return Verdict(
                Cause.NOT_PERMITTED,
                f"{trouble.service} does not let this token read: {trouble.message}",
                way.check_health(way.ratingslip),
                runbook=KEY_ROTATION,
            )
    if evidence.entries:
        return _ledger_only(evidence, way)
    if any(step.failed for step in evidence.steps):
        return _call_failed(evidence, way)
    if ratingslip is not None:
        return Verdict(
            Cause.RATINGSLIP_UNREACHABLE,
            f"RatingSlip at {way.ratingslip} cannot be asked ({ratingslip.code}), and the ledger "
            "knows nothing of this ID.",
            way.check_health(way.ratingslip),
            runbook=SAGA_RECOVERY,
        )
    return Verdict(
        Cause.UNKNOWN_ID,
        "Neither service has recorded anything under this ID in the token's casino: a call that "
        "failed before it changed anything leaves a log line and a trace only.",
        way.list_entries(),
        runbook=CORRELATION_TRACING,
    )


def _ledger_only(evidence: Evidence, way: Way) -> Verdict:
    newest = evidence.entries[0]
    reason = loyalty_pb2.LedgerReason.Name(newest.reason).removeprefix("LEDGER_REASON_").lower()
    return Verdict(
        Cause.LEDGER_ONLY,
        f"{len(evidence.entries)} ledger entries belong to this ID, the newest a {reason} of "
        f"{newest.points_delta} points by staff {newest.staff_id}.",
        way.list_entries(player_id=newest.player_id),
        runbook=CORRELATION_TRACING,
    )


def _call_failed(evidence: Evidence, way: Way) -> Verdict:
    # The last failed span to begin is the deepest: what the others failed for.
    deepest = [step for step in evidence.steps if step.failed][-1]
    return Verdict(
        Cause.CALL_FAILED,
        f"The call failed before it changed anything: {deepest.name} in {deepest.service} ended "
        f"with {deepest.error_type or 'an error'} after {deepest.duration_ms:.0f} ms.",
        way.check_health(way.ratingslip),
        runbook=CORRELATION_TRACING,
    )
