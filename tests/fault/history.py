"""What clients asked for, when, and what they know of the outcome.

Owns the record that is judged when a fault is over, and its form in a file: one JSON
object a line. It must not know how calls are made, nor what must hold of them.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias


class Verb(enum.StrEnum):
    """What an operation does; those of slips are named as their events are."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    UPDATE_AVERAGE_BET = "update_average_bet"
    COMPLETE = "complete"
    RECOVER = "recover"
    MANUAL_REWARD = "manual_reward"
    REDEMPTION = "redemption"


# Verbs whose idempotency key stands with the slip's event.
EVENT_VERBS = frozenset({Verb.START, Verb.PAUSE, Verb.RESUME, Verb.UPDATE_AVERAGE_BET})
# Verbs that are idempotent by the slip: its one payment is their entry.
CLOSE_VERBS = frozenset({Verb.COMPLETE, Verb.RECOVER})
# Verbs whose idempotency key stands with their ledger entry.
ENTRY_VERBS = frozenset({Verb.MANUAL_REWARD, Verb.REDEMPTION})


@dataclasses.dataclass(frozen=True)
class Acknowledged:
    """The service said that it is done, and what came of it."""

    is_existing: bool
    # The slip; empty for what has to do with none.
    slip_id: str = ""
    # The ledger entry; empty or 0 for what writes none, or does not tell.
    entry_id: str = ""
    entry_number: int = 0
    points_delta: int = 0
    balance_after: int = 0


@dataclasses.dataclass(frozen=True)
class Refused:
    """The service said that it has done nothing, and will do nothing."""

    code: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Unknown:
    """It was done, or it was not, or it still will be."""

    code: str
    # Empty where nobody but the network answered.
    reason: str = ""


Outcome: TypeAlias = Acknowledged | Refused | Unknown
_KINDS: Mapping[str, type[Outcome]] = {
    "acknowledged": Acknowledged,
    "refused": Refused,
    "unknown": Unknown,
}
# What is known of an operation before anybody has answered.
UNANSWERED = Unknown("UNANSWERED")


@dataclasses.dataclass(frozen=True)
class SeenError:
    """One failed attempt as its client saw it."""

    code: str
    # Of the ErrorInfo; empty without one.
    reason: str
    # Everything that was said, to look for words that must not leave a service.
    text: str
    # How it breaks the rules for errors; empty when it keeps them.
    flaw: str = ""


@dataclasses.dataclass
class Operation:
    """One thing a client wanted, however many attempts it took. Times are monotonic seconds."""

    number: int
    client: str
    casino_id: str
    verb: Verb
    player_id: str
    # The idempotency key; empty for a close, which the slip identifies.
    key: str
    # The slip it names; empty where it names none.
    slip_id: str
    # The request as JSON, by which it can be sent again.
    request: dict[str, Any]
    invoked_at: float
    answered_at: float | None = None
    outcome: Outcome = UNANSWERED
    attempt_count: int = 0
    errors: list[SeenError] = dataclasses.field(default_factory=list)

    @property
    def target(self) -> tuple[str, str, str]:
        """What it can do once: operations with the same target are the same deed."""
        if self.verb in CLOSE_VERBS:
            return self.casino_id, "slip", self.slip_id
        return self.casino_id, "event" if self.verb in EVENT_VERBS else "entry", self.key

    def __str__(self) -> str:
        """The operation in words, for whoever reads of a violation."""
        return (
            f"operation {self.number}: {self.verb} {self.key or self.slip_id}"
            f" of player {self.player_id} in casino {self.casino_id}: {self.outcome}"
        )

    def to_json(self) -> str:
        """One line."""
        fields = dataclasses.asdict(self)
        kind = next(name for name, kind in _KINDS.items() if isinstance(self.outcome, kind))
        return json.dumps({**fields, "outcome": {"kind": kind, **fields["outcome"]}})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Reads what `to_json` wrote."""
        fields = json.loads(line)
        outcome = fields.pop("outcome")
        return cls(
            **{
                **fields,
                "verb": Verb(fields["verb"]),
                "outcome": _KINDS[outcome.pop("kind")](**outcome),
                "errors": [SeenError(**each) for each in fields["errors"]],
            }
        )


class History:
    """Every operation of a test, in the order in which they were invoked."""

    def __init__(self, operations: list[Operation] | None = None) -> None:
        self.operations = operations or []

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def invoke(
        self,
        verb: Verb,
        request: dict[str, Any],
        *,
        client: str,
        casino_id: str,
        player_id: str,
        key: str = "",
        slip_id: str = "",
    ) -> Operation:
        """Records that a client is about to ask; unanswered until its outcome is set."""
        operation = Operation(
            number=len(self.operations) + 1,
            client=client,
            casino_id=casino_id,
            verb=verb,
            player_id=player_id,
            key=key,
            slip_id=slip_id,
            request=request,
            invoked_at=time.monotonic(),
        )
        self.operations.append(operation)
        return operation

    @property
    def casino_ids(self) -> set[str]:
        """The casinos whose every write is here, and nowhere else."""
        return {operation.casino_id for operation in self.operations}

    def acknowledged(self) -> list[Operation]:
        """What the clients hold the services to."""
        return [each for each in self.operations if isinstance(each.outcome, Acknowledged)]

    def write(self, path: Path) -> None:
        """Writes it to a file, one line for each operation."""
        lines = (f"{operation.to_json()}\n" for operation in self.operations)
        path.write_text("".join(lines), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `write` wrote."""
        lines = path.read_text(encoding="utf-8").splitlines()
        return cls([Operation.from_json(line) for line in lines])
