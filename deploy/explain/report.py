"""Shows evidence and verdicts: to people as text, to machines as JSON."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf import json_format, timestamp_pb2
from google.protobuf.message import Message

from casino.ratingslip.v1 import ratingslip_pb2
from deploy.explain.causes import Verdict
from deploy.explain.evidence import Evidence, Service, SlipCase, Step
from deploy.explain.trace_store import TraceStore

_KIND_PREFIX = "SLIP_EVENT_KIND_"


def as_text(evidence: Evidence, verdicts: Sequence[Verdict], traces: TraceStore | None) -> str:
    """What a person who was just paged reads, the verdict last."""
    lines = []
    if evidence.slips:
        where = f" in casino {evidence.casino_id}" if evidence.casino_id else ""
        lines.append(f"{evidence.identifier} is a {evidence.kind}{where}.")
    ledger_was_read = evidence.trouble_with(Service.LOYALTY) is None
    for case in evidence.slips:
        lines += ["", *_slip_lines(case)]
        if not case.entries and ledger_was_read:
            lines.append("  the ledger has no entry for it")
    for entry in evidence.entries:
        lines.append(
            f"  entry {entry.entry_id}: {entry.points_delta:+d} points at "
            f"{_time(entry.recorded_time)} under {entry.correlation_id}"
        )
    lines += _trace_lines(evidence, traces)
    lines += [f"  not asked: {each.service}, {each.code}" for each in evidence.troubles]
    for verdict in verdicts:
        lines += ["", *_verdict_lines(verdict)]
    return "\n".join(lines).lstrip("\n")


def as_json(evidence: Evidence, verdicts: Sequence[Verdict], traces: TraceStore | None) -> str:
    """The same for machines; `cause`, `verdict` and `next_command` are those of the worst slip."""
    worst = verdicts[0]
    trace_ids = evidence.trace_ids()
    content: dict[str, Any] = {
        "id": evidence.identifier,
        "kind": evidence.kind.value,
        "casino_id": evidence.casino_id,
        "cause": worst.cause.value,
        "verdict": worst.sentence,
        "next_command": worst.next_command,
        "afterwards": worst.afterwards,
        "runbook": worst.runbook,
        "verdicts": [
            {"cause": each.cause.value, "verdict": each.sentence, "next_command": each.next_command}
            for each in verdicts
        ],
        "slips": [_message(case.slip) for case in evidence.slips],
        "timeline": [_message(event) for case in evidence.slips for event in case.events],
        "entries": [
            _message(entry)
            for entry in [*evidence.entries, *(e for case in evidence.slips for e in case.entries)]
        ],
        "steps": [_step(step) for step in evidence.steps],
        "trace_ids": trace_ids,
        "trace_links": [traces.link(each) for each in trace_ids] if traces is not None else [],
        "trace_trouble": evidence.trace_trouble,
        "serving": sorted(evidence.serving),
        "troubles": [
            {"service": each.service.value, "code": each.code, "message": each.message}
            for each in evidence.troubles
        ],
    }
    return json.dumps(content, indent=2)


def _slip_lines(case: SlipCase) -> Iterator[str]:
    slip = case.slip
    status = ratingslip_pb2.SlipStatus.Name(slip.status).removeprefix("SLIP_STATUS_")
    state = ratingslip_pb2.LoyaltyState.Name(slip.loyalty_state).removeprefix("LOYALTY_STATE_")
    refused_for = f" ({slip.loyalty_refusal_reason})" if slip.loyalty_refusal_reason else ""
    yield f"Rating slip {slip.rating_slip_id} of player {slip.player_id}"
    yield f"  {status}, points {state}{refused_for}"
    if slip.closed_by_staff_id:
        yield f"  closed by staff {slip.closed_by_staff_id} under {slip.close_correlation_id}"
    if slip.HasField("next_recovery_time"):
        yield (
            f"  the service has tried {slip.recovery_attempt_count} times by itself, and tries "
            f"again at {_time(slip.next_recovery_time)}"
        )
    yield from _event_lines(case.events)
    for entry in case.entries:
        yield (
            f"  entry {entry.entry_id}: {entry.points_delta:+d} points at "
            f"{_time(entry.recorded_time)}, balance {entry.balance_after}"
        )


def _event_lines(events: Sequence[ratingslip_pb2.SlipEvent]) -> Iterator[str]:
    """A line for each event; of failures alike in a row the first, how many more, the last."""
    for _, alike in itertools.groupby(events, key=_likeness):
        run = list(alike)
        yield _event_line(run[0])
        if len(run) > 2:
            yield f"  {'':26}  … {len(run) - 2} more like it …"
        if len(run) > 1:
            yield _event_line(run[-1])


def _likeness(event: ratingslip_pb2.SlipEvent) -> tuple[Any, ...]:
    if event.kind != ratingslip_pb2.SLIP_EVENT_KIND_FAIL:
        # No two of these are told as one.
        return (event.rating_slip_id, event.event_number)
    return (event.rating_slip_id, event.kind, event.role, event.code, event.reason)


def _event_line(event: ratingslip_pb2.SlipEvent) -> str:
    kind = ratingslip_pb2.SlipEventKind.Name(event.kind).removeprefix(_KIND_PREFIX)
    took = f" after {event.loyalty_call_ms} ms" if event.loyalty_call_ms else ""
    why = f" {event.code} {event.reason}" if event.reason != event.code else f" {event.code}"
    return (
        f"  {_time(event.record_time)}  {kind}{why.rstrip()}{took} · "
        f"{event.role or 'role unknown'} {event.staff_id} · {event.correlation_id}"
    )


def _trace_lines(evidence: Evidence, traces: TraceStore | None) -> Iterator[str]:
    depths: dict[str, int] = {}
    for trace_id in dict.fromkeys([*evidence.trace_ids(), *(s.trace_id for s in evidence.steps)]):
        yield f"  trace {trace_id}" if traces is None else f"  trace {traces.link(trace_id)}"
        for step in (step for step in evidence.steps if step.trace_id == trace_id):
            depths[step.span_id] = depths.get(step.parent_span_id, 0) + 1
            yield f"  {'  ' * depths[step.span_id]}{_step_line(step)}"
    if evidence.trace_trouble:
        yield f"  {evidence.trace_trouble}"


def _step_line(step: Step) -> str:
    failed = f"  FAILED {step.error_type}".rstrip() if step.failed else ""
    return f"{step.service}  {step.name}  {step.duration_ms:.1f} ms{failed}"


def _verdict_lines(verdict: Verdict) -> Iterator[str]:
    yield f"{verdict.cause}: {verdict.sentence}"
    yield "Next:"
    yield f"  {verdict.next_command}"
    if verdict.afterwards:
        yield "Then, when that is mended:"
        yield f"  {verdict.afterwards}"
    if verdict.runbook:
        yield f"Runbook: {verdict.runbook}"


def _time(stamp: timestamp_pb2.Timestamp) -> str:
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def _message(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return content


def _step(step: Step) -> dict[str, Any]:
    return {
        "trace_id": step.trace_id,
        "service": step.service,
        "name": step.name,
        "start_time": step.start_time.isoformat(),
        "duration_ms": round(step.duration_ms, 3),
        "failed": step.failed,
        "error_type": step.error_type,
    }
