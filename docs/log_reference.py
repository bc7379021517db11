"""docs/log_schema.json and the tables in docs/logs.md, written from `log_events`.

    python -m docs.log_reference            writes them
    python -m docs.log_reference --check    exits with 1 when one of them is another

It owns how the events are shown to machines and to people. It must not know an event by name.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any, TypeAlias

from docs import generated
from docs.log_events import EVENTS, Event
from docs.log_fields import COMMON, Field

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "logs.md"
SCHEMA = ROOT / "docs" / "log_schema.json"
BEGIN = "<!-- events: `make tables` writes them from docs/log_events.py -->\n"
END = "<!-- end of events -->\n"

DIALECT = "https://json-schema.org/draft/2020-12/schema"

JsonObject: TypeAlias = dict[str, Any]


def pages() -> dict[pathlib.Path, str]:
    """Both files as they should be; raises `ValueError` when the page has no place for tables."""
    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    return {SCHEMA: text, PAGE: rendered(PAGE.read_text(encoding="utf-8"))}


def json_schema() -> JsonObject:
    """The schema of one line: the common fields, and for each event its own, and no other."""
    own = {"logger": {"enum": sorted({name for event in EVENTS for name in event.loggers})}}
    known = {"event": {"enum": [event.name for event in EVENTS]}}
    return {
        "$schema": DIALECT,
        "title": "One line of a service's log",
        "description": "Written from docs/log_events.py by `make tables`.",
        "type": "object",
        "required": [field.name for field in COMMON if not field.is_optional],
        "properties": {field.name: _property(field) for field in COMMON},
        "allOf": [
            *(
                {
                    # A library may log the same word, and means another thing.
                    "if": {"properties": {"event": {"const": event.name}, **_if_own(event, own)}},
                    "then": {"$ref": f"#/$defs/{event.name}"},
                }
                for event in EVENTS
            ),
            {
                # A library's own line: its event is a sentence, and it may bring fields.
                "if": {"properties": own},
                "then": {"properties": known},
                "else": {"additionalProperties": True},
            },
        ],
        "unevaluatedProperties": False,
        "$defs": {event.name: definition(event) for event in EVENTS},
    }


def definition(event: Event) -> JsonObject:
    """What a line of this event is, beyond the common fields."""
    described: JsonObject = {"description": event.meaning}
    described["properties"] = {
        "level": {"enum": list(event.levels)},
        **({"logger": {"enum": list(event.loggers)}} if event.loggers else {}),
        **{field.name: _property(field) for field in event.fields},
    }
    described["required"] = [field.name for field in event.fields if not field.is_optional]
    return described


def rendered(page: str) -> str:
    """The page with the tables of these events."""
    before, begin, rest = page.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} lacks {BEGIN!r} or {END!r}")
    return f"{before}{begin}\n{''.join(_tables())}{end}{behind}"


def _if_own(event: Event, own: JsonObject) -> JsonObject:
    return own if event.loggers else {}


def _property(field: Field) -> JsonObject:
    kinds = [field.kind, "null"] if field.is_nullable else field.kind
    described: JsonObject = {"type": kinds, "description": field.meaning}
    if field.kind == "array":
        described["items"] = {"type": "string"}
    if field.values:
        described["enum"] = list(field.values)
    if field.pattern:
        described["pattern"] = f"^(?:{field.pattern})$"
    if field.is_personal:
        described["x-personal-data"] = True
    return described


def _tables() -> Iterator[str]:
    yield "### Every line\n\n| field | type | meaning |\n|---|---|---|\n"
    yield from (_row(field) for field in COMMON)
    yield "\n### Index\n\n| event | level | logger |\n|---|---|---|\n"
    for event in EVENTS:
        loggers = " ".join(f"`{name}`" for name in event.loggers) or "any"
        link = f"[`{event.name}`](#{event.name.lower()})"
        yield f"| {link} | {', '.join(event.levels)} | {loggers} |\n"
    yield "\n"
    for event in EVENTS:
        yield f"### {event.name}\n\n{event.meaning}.\n\n"
        if event.fields:
            yield "| field | type | meaning |\n|---|---|---|\n"
            yield from (_row(field) for field in event.fields)
            yield "\n"


def _row(field: Field) -> str:
    name = f"`{field.name}`, at times" if field.is_optional else f"`{field.name}`"
    kind = f"{field.kind} or null" if field.is_nullable else field.kind
    notes = [field.meaning.replace("|", "\\|")]
    if field.values:
        listed = ", ".join(f"`{value}`" if value else "empty" for value in field.values)
        notes.append(f"one of {listed}")
    if field.is_personal:
        notes.append("**personal**")
    return f"| {name} | {kind} | {'; '.join(notes)} |\n"


if __name__ == "__main__":
    generated.main(__doc__ or "", pages)
