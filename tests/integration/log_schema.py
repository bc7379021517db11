"""Service logs held against docs/log_schema.json, every line of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]

from tests.databases import PROJECT_DIRECTORY

SCHEMA_FILE = PROJECT_DIRECTORY / "docs" / "log_schema.json"
MOST_FAULTS_SHOWN = 5


class LogSchema:
    """What a line of a service's log must be."""

    def __init__(self) -> None:
        self._schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
        self._line = jsonschema.Draft202012Validator(self._schema)
        self._of_event = {
            name: jsonschema.Draft202012Validator(self._merged(own))
            for name, own in self._schema["$defs"].items()
        }

    def require(self, logs: Iterable[Path]) -> set[str]:
        """Fails for a line of these logs that is none; the events that were there, by name."""
        return self.require_lines(line for log in logs for line in finished_lines(log))

    def require_lines(self, lines: Iterable[str]) -> set[str]:
        """The same for lines.

        The whole schema takes milliseconds a line, so it sees the first line of each event,
        and every line of a library; the others are held against what it says of their event.
        """
        events: set[str] = set()
        faults: list[str] = []
        for line in lines:
            found = parsed(line)
            name = str(found.get("event"))
            validator = self._of_event.get(name, self._line) if name in events else self._line
            faults += [f"{error.message} in {line}" for error in validator.iter_errors(found)]
            events.add(name)
        assert not faults, "\n".join(faults[:MOST_FAULTS_SHOWN])
        return events

    def personal_fields(self, event: str) -> set[str]:
        """The fields of an event that may point at a person."""
        own = self._schema["$defs"][event]["properties"]
        return {name for name, field in own.items() if field.get("x-personal-data")}

    def _merged(self, own: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": [*self._schema["required"], *own["required"]],
            "properties": {**self._schema["properties"], **own["properties"]},
            "additionalProperties": False,
        }


def finished_lines(log: Path) -> list[str]:
    """The lines of a log that are finished: only a line feed ends one."""
    return log.read_bytes().decode("utf-8").split("\n")[:-1]


def parsed(line: str) -> dict[str, Any]:
    """The one object in a line."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    assert isinstance(found, dict), f"no object: {line}"
    return found
