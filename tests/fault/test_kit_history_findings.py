"""Whatever clients know and the services do not hold to, a check of the kit finds it.

One workload without a fault is the ground; what its clients say they were told is changed.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from tests.fault.ground import Ground, require_found
from tests.fault.history import (
    Acknowledged,
    History,
    Operation,
    Refused,
    SeenError,
    Unknown,
    Verb,
)
from tests.fault.history_checks import check_errors
from tests.fault.invariants import judged
from tests.fault.recorder import PARTIAL_COMPLETION
from tests.integration.casino import new_id

Lie: TypeAlias = Callable[[History], None]


def forgotten(verb: Verb) -> Lie:
    """Nobody remembers an operation, nor any other of the same deed."""

    def lie(history: History) -> None:
        operation = _first(history, verb)
        history.operations = [each for each in history if each.target != operation.target]

    return lie


def told_of_nothing(verb: Verb) -> Lie:
    """Somebody was told that something is done, and it never was."""

    def lie(history: History) -> None:
        operation = copy.deepcopy(_first(history, verb))
        operation.number = len(history) + 1
        operation.key, operation.slip_id = new_id(), new_id()
        history.operations.append(operation)

    return lie


def told_another(verb: Verb, **changes: Any) -> Lie:
    """Somebody was told of something else than what is there."""

    def lie(history: History) -> None:
        operation = _first(history, verb)
        assert isinstance(operation.outcome, Acknowledged)
        operation.outcome = dataclasses.replace(operation.outcome, **changes)

    return lie


def told_it_was_refused(verb: Verb) -> Lie:
    """Everybody was told that nothing was done, and it is there."""

    def lie(history: History) -> None:
        target = _first(history, verb).target
        for operation in history:
            if operation.target == target:
                operation.outcome = Refused("FAILED_PRECONDITION", "INSUFFICIENT_BALANCE")

    return lie


def asked_for_another(verb: Verb, **changes: Any) -> Lie:
    """Somebody wanted something else than what was written."""

    def lie(history: History) -> None:
        target = _first(history, verb).target
        for operation in history:
            if operation.target == target:
                operation.request.update(changes)

    return lie


def told_twice_that_it_was_new(history: History) -> None:
    """Two operations of one key were both told that they did it."""
    operation = next(
        each for each in history.acknowledged() if each.outcome == _new(each) and each.key
    )
    history.operations.append(dataclasses.replace(operation, number=len(history) + 1))


def told_before_another_asked(history: History) -> None:
    """The last one of a player was told before the first one asked."""
    last = _first_of_last_entry(history)
    last.invoked_at = min(each.invoked_at for each in history) - 2
    last.answered_at = last.invoked_at + 1


LIES: dict[str, tuple[Lie, str]] = {
    "a start is forgotten": (forgotten(Verb.START), "nobody asked for start"),
    "a pause is forgotten": (forgotten(Verb.PAUSE), "nobody asked for pause"),
    "a close is forgotten": (forgotten(Verb.COMPLETE), "nobody asked for entry"),
    "a close is forgotten, and the slip's too": (
        forgotten(Verb.COMPLETE),
        "nobody asked for complete",
    ),
    "a reward is forgotten": (forgotten(Verb.MANUAL_REWARD), "nobody asked for entry"),
    "a redemption is forgotten": (forgotten(Verb.REDEMPTION), "nobody asked for entry"),
    "a start was never made": (
        told_of_nothing(Verb.START),
        "it was acknowledged, and it is missing",
    ),
    "a pause was never made": (
        told_of_nothing(Verb.PAUSE),
        "it was acknowledged, and it is missing",
    ),
    "a close was never made": (told_of_nothing(Verb.COMPLETE), "there is no such slip"),
    "a reward was never given": (
        told_of_nothing(Verb.MANUAL_REWARD),
        "it was acknowledged, and it is missing",
    ),
    "a redemption was never made": (
        told_of_nothing(Verb.REDEMPTION),
        "it was acknowledged, and it is missing",
    ),
    "a start answered with another slip": (
        told_another(Verb.START, slip_id=new_id()),
        "the answer was",
    ),
    "a close answered with another entry": (
        told_another(Verb.COMPLETE, entry_id=new_id()),
        "the answer was",
    ),
    "a close answered with other points": (
        told_another(Verb.COMPLETE, points_delta=1),
        "the answer was",
    ),
    "a reward answered with another entry": (
        told_another(Verb.MANUAL_REWARD, entry_id=new_id()),
        "the answer was",
    ),
    "a reward answered with another balance": (
        told_another(Verb.MANUAL_REWARD, balance_after=-1),
        "the answer was",
    ),
    "a redemption answered with another number": (
        told_another(Verb.REDEMPTION, entry_number=1_000_000),
        "its entry has another number by now",
    ),
    "a refused start is there": (
        told_it_was_refused(Verb.START),
        "it was refused, and it is there",
    ),
    "a refused close is there": (
        told_it_was_refused(Verb.COMPLETE),
        "it was refused, and it is there",
    ),
    "a refused close has closed the slip": (
        told_it_was_refused(Verb.COMPLETE),
        "it was refused, and the slip is closed",
    ),
    "a refused redemption is there": (
        told_it_was_refused(Verb.REDEMPTION),
        "it was refused, and it is there",
    ),
    "another reward was asked for": (
        asked_for_another(Verb.MANUAL_REWARD, points="7777"),
        "is not what was asked for",
    ),
    "another redemption was asked for": (
        asked_for_another(Verb.REDEMPTION, points="7777"),
        "is not what was asked for",
    ),
    "another pause was asked for": (
        asked_for_another(Verb.PAUSE, event_time="2020-01-01T00:00:00Z"),
        "is not what was asked for",
    ),
    "another close was asked for": (
        asked_for_another(Verb.COMPLETE, chips_taken={"currency_code": "USD", "units": "5"}),
        "it was not closed as it was asked for",
    ),
    "one key was new twice": (told_twice_that_it_was_new, "it was new more than once"),
    "the last was told before the first had asked": (
        told_before_another_asked,
        "and comes after it",
    ),
}

ERRORS = {
    "INTERNAL": (SeenError("INTERNAL", "INTERNAL", "", "it failed with INTERNAL"), "INTERNAL"),
    "no ErrorInfo": (SeenError("NOT_FOUND", "", "", "no ErrorInfo"), "no ErrorInfo"),
    "a stack": (SeenError("UNAVAILABLE", "BUSY", 'File "chassis/database.py"'), "tells of"),
    "a statement": (SeenError("UNAVAILABLE", "BUSY", "SELECT r.* FROM loyalty"), "tells of"),
    "a driver": (SeenError("UNAVAILABLE", "BUSY", "asyncpg.PostgresError"), "tells of"),
    "a SQLSTATE": (SeenError("UNAVAILABLE", "BUSY", "it was 57P01"), "tells of"),
    "an address": (SeenError("UNAVAILABLE", "BUSY", "ipv4:127.0.0.1:5432"), "tells of"),
    "PostgreSQL's words": (
        SeenError("UNAVAILABLE", "BUSY", "terminating connection due to"),
        "tells of",
    ),
}


@pytest.mark.parametrize(("lie", "finding"), LIES.values(), ids=[*LIES])
def test_what_a_client_was_told_wrongly_is_found(lie: Lie, finding: str, ground: Ground) -> None:
    history = copy.deepcopy(ground.history)

    lie(history)

    require_found(finding, list(judged(ground.evidence, history)))


def test_a_slip_that_was_told_to_be_half_way_and_is_open_is_found(ground: Ground) -> None:
    history = copy.deepcopy(ground.history)
    close = _first(history, Verb.COMPLETE)
    for operation in history:
        if operation.target == close.target:
            operation.outcome = Unknown("UNAVAILABLE", PARTIAL_COMPLETION)
            operation.errors.append(SeenError("UNAVAILABLE", PARTIAL_COMPLETION, ""))
    slips = [
        {**slip, "status": "OPEN"} if str(slip["id"]) == close.slip_id else slip
        for slip in ground.evidence.slips
    ]

    evidence = dataclasses.replace(ground.evidence, slips=slips)

    require_found("it was told to be closed", list(judged(evidence, history)))


@pytest.mark.parametrize(("error", "finding"), ERRORS.values(), ids=[*ERRORS])
def test_an_error_that_breaks_the_rules_is_found(
    error: SeenError, finding: str, ground: Ground
) -> None:
    history = copy.deepcopy(ground.history)
    history.operations[0].errors.append(error)

    require_found(finding, list(check_errors(history)))


def test_what_the_network_says_by_itself_breaks_no_rule(ground: Ground) -> None:
    history = copy.deepcopy(ground.history)
    refused = "failed to connect to all addresses; last error: ipv4:127.0.0.1:20001: Connection"
    history.operations[0].errors.append(SeenError("UNAVAILABLE", "", refused))

    assert list(check_errors(history)) == []


@pytest.mark.parametrize("verb", [Verb.START, Verb.COMPLETE, Verb.MANUAL_REWARD, Verb.REDEMPTION])
def test_what_nobody_knows_may_be_there_or_not(verb: Verb, ground: Ground) -> None:
    history = copy.deepcopy(ground.history)
    known = _first(history, verb)
    for operation in history:
        if operation.target == known.target:
            operation.outcome = Unknown("UNAVAILABLE")
    told_of_nothing_sure = copy.deepcopy(known)
    told_of_nothing_sure.key, told_of_nothing_sure.slip_id = new_id(), new_id()
    history.operations.append(told_of_nothing_sure)

    assert list(judged(ground.evidence, history)) == []


def _first(history: History, verb: Verb) -> Operation:
    """The first acknowledged operation of a verb."""
    return next(each for each in history.acknowledged() if each.verb is verb)


def _new(operation: Operation) -> object:
    assert isinstance(operation.outcome, Acknowledged)
    return dataclasses.replace(operation.outcome, is_existing=False)


def _first_of_last_entry(history: History) -> Operation:
    """Who was told of the entry with the highest number, by a key of its own."""
    numbered = [
        each
        for each in history.acknowledged()
        if each.verb in (Verb.MANUAL_REWARD, Verb.REDEMPTION)
    ]
    return max(numbered, key=lambda each: getattr(each.outcome, "entry_number", 0))
