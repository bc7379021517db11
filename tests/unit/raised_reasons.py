"""Which reasons the code can answer with, read from its syntax trees.

A reason is what `ServiceError` is called with. Where that is a parameter, whoever calls
the function gives the reason; where it is a field, whoever makes an object of a class
with that field. It must not know a reason.
"""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterable, Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
# The position of the reason among the arguments, by the name of what is called.
Positions = dict[str, int]

ERROR_TYPE = "ServiceError"
REASON_POSITION = 1
REASON_KEYWORD = "reason"


def raised_reasons(files: Iterable[pathlib.Path]) -> set[str]:
    """Every reason in these files; fails for one that cannot be told from the code."""
    modules = [ast.parse(path.read_text(encoding="utf-8"), path.name) for path in files]
    constants = {name: value for module in modules for name, value in _constants(module)}
    positions = {ERROR_TYPE: REASON_POSITION}
    while True:
        reasons: set[str] = set()
        found = dict(positions)
        for module in modules:
            for function, call in _calls(module, None):
                match _reason(call, positions):
                    case None:
                        pass
                    case ast.Constant(value=str(word)):
                        reasons.add(word)
                    case ast.Name(id=name) if name in (parameters := _parameters(function)):
                        assert function is not None
                        found[function.name] = parameters.index(name)
                    case ast.Name(id=name):
                        reasons.add(constants[name])
                    case ast.Attribute(attr=field):
                        found |= _classes_with(module, field)
                    case other:
                        raise AssertionError(f"what reason is this? {ast.unparse(other)}")
        if found == positions:
            return reasons
        positions = found


def _reason(call: ast.Call, positions: Positions) -> ast.expr | None:
    """The argument that is the reason; None when the call takes none."""
    named = call.func
    name = named.id if isinstance(named, ast.Name) else getattr(named, "attr", "")
    if name not in positions:
        return None
    by_keyword = [each.value for each in call.keywords if each.arg == REASON_KEYWORD]
    return by_keyword[0] if by_keyword else call.args[positions[name]]


def _calls(node: ast.AST, function: Function | None) -> Iterator[tuple[Function | None, ast.Call]]:
    """Every call, with the innermost function around it."""
    if isinstance(node, ast.Call):
        yield function, node
    inner = node if isinstance(node, Function) else function
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, inner)


def _parameters(function: Function | None) -> list[str]:
    """The parameters as a caller counts them, without `self`."""
    if function is None:
        return []
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    return [name for name in names if name not in ("self", "cls")]


def _classes_with(module: ast.Module, field: str) -> Positions:
    """The classes of a module whose constructor takes this field, as a tuple or dataclass."""
    positions = {}
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            fields = [
                each.target.id
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            ]
            if field in fields:
                positions[node.name] = fields.index(field)
    return positions


def _constants(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value))):
                yield name, value
