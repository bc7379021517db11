"""A service's log as a reader sees it: the lines of a file, one JSON object each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.patience import eventually


def errors_beside(log_file: Path) -> Path:
    """Where standard error goes, when standard output goes to `log_file`."""
    return log_file.with_suffix(".stderr")


class ServiceLog:
    """What one process has written: its log is its standard output."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self) -> str:
        """Everything, standard error last."""
        return self._log() + errors_beside(self.path).read_text(encoding="utf-8")

    def lines(self) -> list[str]:
        """The lines of the log that are finished."""
        return [line for line in self._log().splitlines(keepends=True) if line.endswith("\n")]

    def events(self, name: str, **fields: object) -> list[dict[str, Any]]:
        """The events of a name that have these fields, oldest first."""
        # Parsing the whole log of a session would take long; a name stands in its line.
        found = [json.loads(line) for line in self.lines() if f'"{name}"' in line]
        return [
            event for event in found if event["event"] == name and fields.items() <= event.items()
        ]

    async def event(self, name: str, **fields: object) -> dict[str, Any]:
        """The one event of a name that has these fields; waits until it is there."""

        async def found() -> list[dict[str, Any]]:
            return self.events(name, **fields)

        (event,) = await eventually(found, f"{name} {fields} in {self.path.name}")
        return event

    def _log(self) -> str:
        return self.path.read_text(encoding="utf-8")
