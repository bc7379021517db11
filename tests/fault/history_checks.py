"""What must hold between what clients know and what is written: nothing missing, nothing more.

Every check takes the evidence and a history and says in sentences what is wrong. All
writes of the history's casinos must be in the history.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from tests.fault.contents import is_as_asked
from tests.fault.evidence import Evidence, Name, Row, name_of
from tests.fault.history import (
    CLOSE_VERBS,
    EVENT_VERBS,
    Acknowledged,
    History,
    Operation,
    Refused,
    Verb,
)
from tests.fault.recorder import PARTIAL_COMPLETION

# All operations that can be done only once between them.
Deed: TypeAlias = Sequence[Operation]

# Words of our own code, of its libraries and of PostgreSQL, which are nobody's business.
INTERNALS = re.compile(
    r"""
    asyncpg | psycopg | postgres | Traceback | \.py\b | line\ \d+ | Exception
    | \bSELECT\b | \bINSERT\b | \bUPDATE\b | \bDELETE\b | SQLSTATE | relation\ " | constraint
    | \b(57P\d\d|40P01|55P03|RS0\d\d|LY0\d\d)\b
    | terminating\ connection | cannot\ execute | deadlock | lock\ timeout | statement\ timeout
    | 127\.0\.0\.1 | ipv4: | localhost
    """,
    re.VERBOSE,
)


def deeds_of(history: History) -> dict[tuple[str, str, str], list[Operation]]:
    """The operations by what they can do once."""
    deeds: dict[tuple[str, str, str], list[Operation]] = {}
    for operation in history:
        deeds.setdefault(operation.target, []).append(operation)
    return deeds


def written_by(evidence: Evidence, deed: Deed) -> list[Row]:
    """What is there of a deed: its events, its entries, or its slip's payments."""
    first = deed[0]
    if first.verb in EVENT_VERBS:
        return evidence.events_by_key.get((first.casino_id, first.key), [])
    payments = evidence.payments_by_slip.get((first.casino_id, first.slip_id), [])
    if first.verb in CLOSE_VERBS:
        return payments
    # A reward in a slip's place is answered with what the slip was paid before.
    return evidence.entries_by_key.get((first.casino_id, first.key), payments)


def check_deeds(evidence: Evidence, history: History) -> Iterator[str]:
    """Acknowledged: there exactly once. Refused: absent. Unknown: there at most once."""
    for deed in deeds_of(history).values():
        written = written_by(evidence, deed)
        answers = [each.outcome for each in deed if isinstance(each.outcome, Acknowledged)]
        if len(written) > 1:
            yield f"{deed[0]}: it is there {len(written)} times"
        if answers and not written:
            yield f"{deed[0]}: it was acknowledged, and it is missing"
        if written and all(isinstance(each.outcome, Refused) for each in deed):
            yield f"{deed[0]}: it was refused, and it is there"
        if sum(not answer.is_existing for answer in answers) > 1:
            yield f"{deed[0]}: it was new more than once"
        yield from _check_answers(deed, written)
        if deed[0].verb in CLOSE_VERBS:
            yield from _check_close(evidence, deed)
        elif written and not any(is_as_asked(each, written[0]) for each in deed):
            yield f"{deed[0]}: what is written is not what was asked for: {dict(written[0])}"


def _check_answers(deed: Deed, written: list[Row]) -> Iterator[str]:
    """Same key, same entry: every answer named what is written."""
    for operation in deed:
        answer = operation.outcome
        if not isinstance(answer, Acknowledged) or not written:
            continue
        told = _told_by(operation.verb, answer)
        found = [_told_by_row(operation.verb, row) for row in written]
        if told not in found:
            yield f"{operation}: the answer was {told}, and written is {found}"
        if answer.entry_number and answer.entry_number not in {
            row["entry_number"] for row in written
        }:
            yield f"{operation}: its entry has another number by now"


def _told_by(verb: Verb, answer: Acknowledged) -> tuple[str, ...]:
    if verb in EVENT_VERBS:
        return (answer.slip_id,)
    return answer.entry_id, str(answer.points_delta), str(answer.balance_after)


def _told_by_row(verb: Verb, row: Row) -> tuple[str, ...]:
    if verb in EVENT_VERBS:
        return (str(row["rating_slip_id"]),)
    return str(row["id"]), str(row["points_delta"]), str(row["balance_after"])


def _check_close(evidence: Evidence, deed: Deed) -> Iterator[str]:
    """A close that was answered has closed the slip as it was asked to, or another did."""
    name = deed[0].casino_id, deed[0].slip_id
    slip = evidence.slips_by_id.get(name)
    if slip is None:
        if any(isinstance(each.outcome, Acknowledged) for each in deed):
            yield f"{deed[0]}: there is no such slip"
        return
    is_closed = slip["status"] == "CLOSED"
    if not is_closed and any(_was_told_closed(each) for each in deed):
        yield f"{deed[0]}: it was told to be closed, and it is {slip['status']}"
    if is_closed and all(isinstance(each.outcome, Refused) for each in deed):
        yield f"{deed[0]}: it was refused, and the slip is closed"
    # A recovery closes nothing.
    closes = [each for each in deed if each.verb is Verb.COMPLETE]
    if is_closed and closes and not any(is_as_asked(each, slip) for each in closes):
        yield f"{deed[0]}: it was not closed as it was asked for: {dict(slip)}"


def _was_told_closed(operation: Operation) -> bool:
    return isinstance(operation.outcome, Acknowledged) or any(
        error.reason == PARTIAL_COMPLETION for error in operation.errors
    )


def check_nothing_else(evidence: Evidence, history: History) -> Iterator[str]:
    """Whatever is there in the history's casinos, somebody has asked for."""
    asked, casinos = deeds_of(history).keys(), history.casino_ids
    for entry in evidence.entries:
        casino_id, key = name_of(entry, "idempotency_key")
        by_slip = (casino_id, "slip", str(entry["source_id"]))
        if entry["reason"] == "base_accrual":
            # The slip is committed before its points are asked for.
            is_explained = by_slip in asked and (casino_id, by_slip[2]) in evidence.slips_by_id
        else:
            is_explained = (casino_id, "entry", key) in asked
        if casino_id in casinos and not is_explained:
            yield f"nobody asked for entry {entry['id']}: {dict(entry)}"
    for event in evidence.events:
        casino_id, slip_id = name_of(event, "rating_slip_id")
        if casino_id not in casinos or event["kind"] in ("accrue", "refuse", "fail"):
            continue
        if event["kind"] == "complete":
            is_explained = (casino_id, "slip", slip_id) in asked
        else:
            is_explained = (casino_id, "event", event["idempotency_key"]) in asked
        if not is_explained:
            yield f"nobody asked for {event['kind']} of slip {slip_id}: {dict(event)}"
    for casino_id, slip_id in evidence.slips_by_id.keys() - evidence.events_by_slip.keys():
        yield f"slip {slip_id} of casino {casino_id} is there, and nobody has started it"


class _Written(NamedTuple):
    """Between which moments a row was written, by what clients saw, and where it stands."""

    number: int
    invoked_at: float
    # Infinite when nobody was told.
    answered_at: float
    operation: Operation


def check_order(evidence: Evidence, history: History) -> Iterator[str]:
    """What was answered before another was asked for comes before it.

    So with the entries of a player, by `entry_number`, and with the events of a slip.
    """
    entries: dict[Name, dict[int, _Written]] = {}
    events: dict[Name, dict[int, _Written]] = {}
    for deed in deeds_of(history).values():
        invoked_at = min(each.invoked_at for each in deed)
        answered_at = _first_answer(deed)
        for row in written_by(evidence, deed):
            if deed[0].verb in EVENT_VERBS:
                chain = events.setdefault(name_of(row, "rating_slip_id"), {})
                number = row["event_number"]
            else:
                chain = entries.setdefault(name_of(row, "player_id"), {})
                number = row["entry_number"]
            # A slip's payment may be two deeds: the close, and a reward in its place.
            known = chain.get(number, _Written(number, invoked_at, answered_at, deed[0]))
            chain[number] = known._replace(
                invoked_at=min(known.invoked_at, invoked_at),
                answered_at=min(known.answered_at, answered_at),
            )
    for chain in (*entries.values(), *events.values()):
        yield from _check_chain_order([chain[number] for number in sorted(chain)])


def _first_answer(deed: Deed) -> float:
    """When somebody first knew that it was done; never, if nobody does."""
    answers = (
        each.answered_at
        for each in deed
        if isinstance(each.outcome, Acknowledged) and each.answered_at is not None
    )
    return min(answers, default=math.inf)


def _check_chain_order(chain: list[_Written]) -> Iterator[str]:
    latest: _Written | None = None
    for written in chain:
        if latest is not None and written.answered_at < latest.invoked_at:
            yield (
                f"{written.operation} was answered before {latest.operation} was asked for,"
                f" and comes after it: {written.number} > {latest.number}"
            )
        if latest is None or written.invoked_at > latest.invoked_at:
            latest = written


def check_errors(history: History) -> Iterator[str]:
    """Every error was canonical, with its ErrorInfo, and told nothing of the inside."""
    for operation in history:
        for error in operation.errors:
            if error.flaw:
                yield f"{operation}: {error.flaw}: {error.text}"
            # What the network says by itself is the client's own gRPC speaking.
            found = INTERNALS.search(error.text) if error.reason else None
            if found:
                yield f"{operation}: an error tells of {found.group()!r}: {error.text}"
