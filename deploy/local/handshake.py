"""What the supervisor and whoever starts it say to each other, over two pipes.

The starter holds the supervisor's standard input open, and the end of that pipe is
the end of the stack: however the starter ends, the kernel closes it. One line on it,
`KEEP`, sets the stack free to outlive the starter. On its standard output the
supervisor reports one message per line until the stack is ready or has failed.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Self

KEEP = b"keep\n"


class Kind(enum.StrEnum):
    """What a message means; all but PROGRESS are the last."""

    PROGRESS = "PROGRESS"
    READY = "READY"
    # Another supervisor holds this state directory.
    ALREADY_RUNNING = "ALREADY_RUNNING"
    # A port the stack was told to use is taken.
    PORT_IN_USE = "PORT_IN_USE"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Message:
    """One message of the supervisor."""

    kind: Kind
    # For people.
    text: str = ""
    # Where more is to be read, or empty.
    log_file: str = ""

    def to_line(self) -> bytes:
        """The message as one line."""
        return json.dumps([self.kind, self.text, self.log_file]).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Reads what `to_line` wrote."""
        kind, text, log_file = json.loads(line)
        return cls(Kind(kind), text, log_file)
