"""docs/promises.md names tests: each of them is there."""

from __future__ import annotations

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "promises.md"
FAULT_TESTS = "tests/fault/"
# A test as the page names it, without its directory where that is tests/fault.
NAMED_TEST = re.compile(r"`(?P<file>[\w/]+\.py)::(?P<name>test_\w+)(?:\[[^`]*\])?`")
NAMED_FILE = re.compile(r"`(?P<file>test_\w+\.py)`")


def path_of(name: str) -> pathlib.Path:
    return ROOT / (name if "/" in name else f"{FAULT_TESTS}{name}")


def functions_of(path: pathlib.Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_test_that_the_page_names_is_there() -> None:
    named = [(each["file"], each["name"]) for each in NAMED_TEST.finditer(PAGE.read_text())]
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not path_of(file).is_file() or name not in functions_of(path_of(file))
    ]

    assert named
    assert not missing


def test_every_file_of_cuts_is_on_the_page() -> None:
    text = PAGE.read_text()
    cuts = {path.name for path in (ROOT / FAULT_TESTS).glob("test_*.py")}
    # What tests the kit itself is told of together.
    cuts -= {"test_proxy.py", "test_postgres_server.py", "test_kit.py"}
    hostile = {name for name in cuts if name.startswith("test_hostile_")}

    assert {name for name in cuts - hostile if name not in text} == set()
    assert {each["file"] for each in NAMED_FILE.finditer(text)} <= cuts
