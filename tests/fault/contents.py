"""Whether what is written is what was asked for, field by field.

It knows the requests and the rows; it must not know what became of the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tests.fault.evidence import Row
from tests.fault.history import Operation, Verb
from tests.fault.recorder import request_of

NANOS = Decimal(1_000_000_000)


def is_as_asked(operation: Operation, row: Row) -> bool:
    """Whether a row holds what an operation's request says.

    The row is the event of a step of a slip, the slip of a close, or the ledger entry. A
    recovery asks for nothing that could be written otherwise, and is not to be asked about.
    """
    return _RULES[operation.verb](request_of(operation), row)


def _is_start(request: Any, event: Row) -> bool:
    return _all(event["kind"] == "start", event["average_bet"] == _amount(request.average_bet))


def _is_step(kind: str) -> Callable[[Any, Row], bool]:
    def is_step(request: Any, event: Row) -> bool:
        return _all(
            event["kind"] == kind,
            str(event["rating_slip_id"]) == request.rating_slip_id,
            _is_time(request, "event_time", event["event_time"]),
        )

    return is_step


def _is_update(request: Any, event: Row) -> bool:
    is_step = _is_step("update_average_bet")
    return _all(is_step(request, event), event["average_bet"] == _amount(request.average_bet))


def _is_close(request: Any, slip: Row) -> bool:
    return _all(
        _is_time(request, "end_time", slip["end_time"]),
        _is_amount(request, "average_bet", slip["average_bet"]),
        _is_amount(request, "chips_taken", slip["chips_taken"]),
    )


def _is_reward(request: Any, entry: Row) -> bool:
    if request.rating_slip_id and entry["reason"] == "base_accrual":
        # The slip was paid before, and that is what both are answered with.
        return _all(str(entry["source_id"]) == request.rating_slip_id)
    return _all(
        entry["reason"] == ("manual_reward" if request.points > 0 else "adjustment"),
        str(entry["player_id"]) == request.player_id,
        entry["points_delta"] == request.points,
        entry["note"] == request.reason.strip(),
    )


def _is_redemption(request: Any, entry: Row) -> bool:
    return _all(
        entry["reason"] == "redemption",
        str(entry["player_id"]) == request.player_id,
        entry["points_delta"] == -request.points,
        entry["note"] == request.note.strip(),
        request.allow_overdraw or entry["balance_after"] >= 0,
    )


def _is_time(request: Any, field: str, written: Any) -> bool:
    if not request.HasField(field):
        return True
    return bool(getattr(request, field).ToMicroseconds() == round(written.timestamp() * 1_000_000))


def _is_amount(request: Any, field: str, written: Decimal | None) -> bool:
    return not request.HasField(field) or written == _amount(getattr(request, field))


def _amount(money: Any) -> Decimal:
    return Decimal(money.units) + Decimal(money.nanos) / NANOS


def _all(*conditions: object) -> bool:
    return all(conditions)


_RULES: Mapping[Verb, Callable[[Any, Row], bool]] = {
    Verb.START: _is_start,
    Verb.PAUSE: _is_step("pause"),
    Verb.RESUME: _is_step("resume"),
    Verb.UPDATE_AVERAGE_BET: _is_update,
    Verb.COMPLETE: _is_close,
    Verb.MANUAL_REWARD: _is_reward,
    Verb.REDEMPTION: _is_redemption,
}
