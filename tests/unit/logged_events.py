"""Which events the code can log, with their fields, read from its syntax trees.

An event is what a logger of ours is called with. Its fields are the keys of `extra`, what
`exc_info` brings, and the facts of the call where they are spread into it. It must not know
an event.
"""

from __future__ import annotations

import ast
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping

LEVELS = {
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
}
# The method that takes the level as its first argument, which only running it tells.
ANY_LEVEL = "log"
TRACEBACK = "exc_info"
FACTS = "facts"


@dataclasses.dataclass
class LoggedEvent:
    """One event, over all the places that log it."""

    loggers: set[str] = dataclasses.field(default_factory=set)
    # Empty where the level is computed.
    levels: set[str] = dataclasses.field(default_factory=set)
    fields: set[str] = dataclasses.field(default_factory=set)
    # Something is spread into its fields that cannot be told from the code.
    is_open: bool = False


def logged_events(root: pathlib.Path, files: Iterable[pathlib.Path]) -> dict[str, LoggedEvent]:
    """Every event in these files; fails for one that cannot be told from the code."""
    modules = {path: ast.parse(path.read_text(encoding="utf-8"), path.name) for path in files}
    constants: dict[str, str] = {}
    for tree in modules.values():
        constants |= dict(_constants(tree))
    facts = {name for tree in modules.values() for name in _facts(tree, constants)}
    events: dict[str, LoggedEvent] = {}
    for path, tree in modules.items():
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        loggers = dict(_loggers(tree, module))
        for call, logger, method in _log_calls(tree, loggers):
            arguments = call.args[1:] if method == ANY_LEVEL else call.args
            name = _word(arguments[0], constants)
            event = events.setdefault(name, LoggedEvent())
            event.loggers.add(logger)
            event.levels |= {LEVELS[method]} if method in LEVELS else set()
            _add_fields(event, call, method, constants, facts)
    return events


def _add_fields(
    event: LoggedEvent,
    call: ast.Call,
    method: str,
    constants: Mapping[str, str],
    facts: set[str],
) -> None:
    given = {each.arg: each.value for each in call.keywords}
    if method == "exception" or TRACEBACK in given:
        event.fields.add(TRACEBACK)
    extra = given.get("extra")
    if extra is None:
        return
    assert isinstance(extra, ast.Dict), f"fields that are no dict: {ast.unparse(call)}"
    for key, value in zip(extra.keys, extra.values, strict=True):
        if key is not None:
            event.fields.add(_word(key, constants))
        elif isinstance(value, ast.Attribute) and value.attr == FACTS:
            event.fields |= facts
        else:
            event.is_open = True


def _log_calls(tree: ast.Module, loggers: Mapping[str, str]) -> Iterator[tuple[ast.Call, str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if (
                name in loggers
            ):
                assert method in (*LEVELS, ANY_LEVEL), ast.unparse(node)
                yield node, loggers[name], method


def _loggers(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """The names in a module that are loggers, and what they are called."""
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Attribute(attr="getLogger"), args=[argument]),
            ):
                yield name, argument.value if isinstance(argument, ast.Constant) else module  # type: ignore[misc]


def _facts(tree: ast.Module, constants: Mapping[str, str]) -> Iterator[str]:
    """The keys that are ever written into a call's facts."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[
                    ast.Subscript(
                        value=ast.Attribute(attr="facts") | ast.Name(id="facts"), slice=key
                    )
                ]
            ):
                yield _word(key, constants)


def _word(expression: ast.expr, constants: Mapping[str, str]) -> str:
    match expression:
        case ast.Constant(value=str(word)):
            return word
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in constants:
            return constants[name]
    raise AssertionError(f"what word is this? {ast.unparse(expression)}")


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value))):
                yield name, value
