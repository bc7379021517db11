"""From an identifier to the evidence: which slips it is about, and all there is to know of them.

Owns what is asked in which order. It must not know what a verdict is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.explain.asking import Asker
from deploy.explain.evidence import Evidence, IdentifierKind, SlipCase
from deploy.explain.trace_store import TraceStore, TraceStoreError

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
# One call works on one slip; a correlation ID of more is somebody's whole batch.
MOST_SLIPS = 10
# Of a slip that was tried for days the first trace and the last ones tell all.
MOST_TRACES = 4


async def gather(identifier: str, asker: Asker, traces: TraceStore | None) -> Evidence:
    """Everything about a slip ID, a correlation ID or a trace ID.

    Raises `ValueError` when the identifier can be none of them.
    """
    evidence = await _identified(identifier, asker)
    evidence.troubles = asker.troubles
    evidence.serving = await asker.serving()
    if traces is not None:
        await _add_steps(evidence, traces)
    return evidence


async def _identified(identifier: str, asker: Asker) -> Evidence:
    if _CORRELATION_ID.fullmatch(identifier) is None:
        raise ValueError(f"{identifier!r} is no slip ID, correlation ID or trace ID")
    if _UUID.fullmatch(identifier):
        slip = await asker.slip(identifier)
        if slip is not None:
            evidence = Evidence(identifier, IdentifierKind.RATING_SLIP)
            evidence.slips = [await _slip_case(slip, asker)]
            return evidence
    if _TRACE_ID.fullmatch(identifier):
        evidence = Evidence(identifier.lower(), IdentifierKind.TRACE)
        events = await asker.events(trace_id=evidence.identifier)
    else:
        evidence = Evidence(identifier, IdentifierKind.CORRELATION_ID)
        events = await asker.events(correlation_id=identifier)
        evidence.entries = await asker.entries(correlation_id=identifier)
        if _UUID.fullmatch(identifier) and not events and not evidence.entries:
            # RatingSlip may be away; then Loyalty still knows what it has paid for the slip.
            evidence.entries = await asker.entries(rating_slip_id=identifier)
    evidence.slips = await _slip_cases((event.rating_slip_id for event in events), asker)
    return evidence


async def _slip_cases(rating_slip_ids: Iterable[str], asker: Asker) -> list[SlipCase]:
    cases = []
    for rating_slip_id in [*dict.fromkeys(rating_slip_ids)][:MOST_SLIPS]:
        slip = await asker.slip(rating_slip_id)
        if slip is not None:
            cases.append(await _slip_case(slip, asker))
    return cases


async def _slip_case(slip: ratingslip_pb2.RatingSlip, asker: Asker) -> SlipCase:
    of_slip = {"rating_slip_id": slip.rating_slip_id}
    events = await asker.events(**of_slip)
    entries = await asker.entries(**of_slip)
    is_refused = slip.loyalty_state == ratingslip_pb2.LOYALTY_STATE_REFUSED
    points_due = await asker.points_due(slip.rating_slip_id) if is_refused else None
    return SlipCase(slip, events, entries, points_due)


async def _add_steps(evidence: Evidence, traces: TraceStore) -> None:
    named = evidence.trace_ids()
    wanted = named if len(named) <= MOST_TRACES else [named[0], *named[1 - MOST_TRACES :]]
    try:
        for trace_id in wanted:
            evidence.steps += await traces.steps(trace_id)
    except TraceStoreError as error:
        evidence.trace_trouble = str(error)
