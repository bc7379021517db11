"""The errors that the code can answer with, read from its syntax trees.

An error is a call of `ServiceError`. What the call takes from a parameter, the callers of
the function around it give; what it takes from a field of a record, whoever makes such a
record. So a table of known errors is read row by row. It must not know a reason, nor run
the code.
"""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef

ERROR_TYPE = "ServiceError"
# The parameters of `ServiceError`, the first of them also by position.
SLOTS = ("code", "reason", "text", "metadata", "violations", "retry_after_seconds", "resource")
# Which detail of google.rpc a parameter brings.
DETAILS = {
    "violations": "BadRequest",
    "retry_after_seconds": "RetryInfo",
    "resource": "ResourceInfo",
}

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Detail(NamedTuple):
    """Something an error carries: the name of a detail, or a key of its metadata."""

    name: str
    # Whether every error of this kind carries it.
    is_certain: bool


class RaisedError(NamedTuple):
    """One place in the code at which a failure gets its reason."""

    reason: str
    # The names of gRPC codes, in the order of the code.
    codes: tuple[str, ...]
    # With {names} for what differs.
    sentence: str
    # Whether people read it in the error; else the code says it of itself, in a docstring.
    is_message: bool
    metadata: tuple[Detail, ...]
    details: tuple[Detail, ...]
    file: pathlib.Path


class _Maker(NamedTuple):
    """Something that makes an error when it is called."""

    parameters: tuple[str, ...]
    # What each slot gets, in terms of the parameters.
    slots: Mapping[str, ast.expr]
    # What says of itself when it is used.
    docstring: str


class _Module(NamedTuple):
    file: pathlib.Path
    tree: ast.Module
    constants: Mapping[str, str]


def raised_errors(files: Iterable[pathlib.Path]) -> list[RaisedError]:
    """Every error in these files; raises `ValueError` for one that cannot be read."""
    modules = [_module(path) for path in files]
    constants = {name: value for module in modules for name, value in module.constants.items()}
    makers = {ERROR_TYPE: _Maker(SLOTS, {slot: ast.Name(slot) for slot in SLOTS}, "")}
    while True:
        found = dict(makers)
        errors: list[RaisedError] = []
        for module in modules:
            for function, call, name in _calls(module.tree):
                if name not in makers:
                    continue
                slots = _slots_of(call, makers[name], function)
                match slots["reason"]:
                    case ast.Constant(value=str(reason)):
                        errors.append(_error(reason, slots, function, makers[name], module.file))
                    case ast.Name(id=word) if function and word in _parameters(function):
                        found[function.name] = _as_maker(function, slots)
                    case ast.Name(id=word) if word in constants:
                        errors.append(
                            _error(constants[word], slots, function, makers[name], module.file)
                        )
                    case ast.Attribute(attr=field):
                        found |= _records(module.tree, field, slots)
                    case other:
                        raise ValueError(f"{module.file.name}: what reason is {ast.dump(other)}?")
        if found.keys() == makers.keys():
            return [_with_constants(error, constants) for error in errors]
        makers = found


def _module(path: pathlib.Path) -> _Module:
    tree = ast.parse(path.read_text(encoding="utf-8"), path.name)
    constants = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value))):
                constants[name] = value
    return _Module(path, tree, constants)


def _calls(
    node: ast.AST, function: Function | None = None
) -> Iterator[tuple[Function | None, ast.Call, str]]:
    """Every call, with the innermost function around it and the name of what is called."""
    if isinstance(node, ast.Call):
        called = node.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        yield function, node, name
    inner = node if isinstance(node, Function) else function
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, inner)


def _slots_of(call: ast.Call, maker: _Maker, function: Function | None) -> dict[str, ast.expr]:
    """What this call puts into the slots; None, as an expression, where it puts nothing."""
    nothing = ast.Constant(None)
    given: dict[str, ast.expr] = dict(zip(maker.parameters, call.args, strict=False))
    given |= {each.arg: each.value for each in call.keywords if each.arg}
    assigned = _assigned(function)
    slots = {}
    for slot in SLOTS:
        expression = maker.slots.get(slot, nothing)
        if isinstance(expression, ast.Name) and expression.id in maker.parameters:
            expression = given.get(expression.id, nothing)
        if isinstance(expression, ast.Name):
            expression = assigned.get(expression.id, expression)
        slots[slot] = expression
    return slots


def _assigned(function: Function | None) -> dict[str, ast.expr]:
    """What a function's own names stand for, as far as they are assigned once."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function) if function else ():
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values.setdefault(name, []).append(value)
    return {name: found[0] for name, found in values.items() if len(found) == 1}


def _as_maker(function: Function, slots: Mapping[str, ast.expr]) -> _Maker:
    return _Maker(_parameters(function), slots, ast.get_docstring(function) or "")


def _parameters(function: Function) -> tuple[str, ...]:
    """The parameters as a caller counts them, without `self`."""
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return tuple(name for name in names if name not in ("self", "cls"))


def _records(tree: ast.Module, field: str, slots: Mapping[str, ast.expr]) -> dict[str, _Maker]:
    """The classes with this field: whoever makes a record of one has given the error."""
    makers = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            fields = tuple(
                each.target.id
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            )
            if field in fields:
                from_fields = {slot: _of_field(each, fields) for slot, each in slots.items()}
                makers[node.name] = _Maker(fields, from_fields, "")
    return makers


def _of_field(expression: ast.expr, fields: tuple[str, ...]) -> ast.expr:
    """The field that an expression is made of, as a parameter; else the expression."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Attribute) and node.attr in fields:
            return ast.Name(node.attr)
    return expression


def _error(
    reason: str,
    slots: Mapping[str, ast.expr],
    function: Function | None,
    maker: _Maker,
    file: pathlib.Path,
) -> RaisedError:
    codes = [
        node.attr
        for node in ast.walk(slots["code"])
        if isinstance(node, ast.Attribute) and getattr(node.value, "attr", "") == "StatusCode"
    ]
    if not codes:
        raise ValueError(f"{file.name}: no gRPC code for {reason}")
    message = _text(slots["text"])
    docstring = (ast.get_docstring(function) if function else "") or maker.docstring
    sentence = message or " ".join(docstring.partition("\n\n")[0].split())
    return RaisedError(
        reason=reason,
        codes=tuple(dict.fromkeys(codes)),
        sentence=sentence,
        is_message=bool(message),
        metadata=tuple(_metadata(slots["metadata"], sentence)),
        details=tuple(
            Detail(name, not isinstance(slots[slot], ast.IfExp))
            for slot, name in DETAILS.items()
            if not _is_empty(slots[slot])
        ),
        file=file,
    )


def _text(expression: ast.expr) -> str:
    """A sentence as a template; empty when it cannot be told from the code."""
    match expression:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                _text(part) if isinstance(part, ast.Constant) else f"{{{_name_in(part)}}}"
                for part in parts
            )
    return ""


def _name_in(part: ast.expr) -> str:
    """What stands between the braces of an f-string, in one word."""
    value = part.value if isinstance(part, ast.FormattedValue) else part
    if isinstance(value, ast.Attribute) and value.attr == "value":
        # An enumeration's member is named by what holds it.
        value = value.value
    return value.attr if isinstance(value, ast.Attribute) else ast.unparse(value)


def _metadata(expression: ast.expr, sentence: str) -> Iterator[Detail]:
    """The keys; where SQL gives them, the sentence is made of them and names them all."""
    if _is_empty(expression):
        return
    keys = [
        each.value
        for node in ast.walk(expression)
        if isinstance(node, ast.Dict)
        for each in node.keys
        if isinstance(each, ast.Constant)
    ]
    if keys:
        yield from (Detail(str(key), not isinstance(expression, ast.IfExp)) for key in keys)
    else:
        yield from (Detail(name, True) for name in _PLACEHOLDER.findall(sentence))


def _is_empty(expression: ast.expr) -> bool:
    match expression:
        case ast.Constant(value=value):
            return not value
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return not elements
    return False


def _with_constants(error: RaisedError, constants: Mapping[str, str]) -> RaisedError:
    """With the constants of the code in the sentence, instead of their names."""
    return error._replace(
        sentence=_PLACEHOLDER.sub(lambda found: constants.get(found[1], found[0]), error.sentence)
    )
