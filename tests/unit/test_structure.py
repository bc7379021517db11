"""The shape of the tree: walls between packages, sizes, names, one verb all the way down."""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import ServiceDescriptor

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from loyalty_service import access as loyalty_access
from ratingslip_service import access as ratingslip_access

ROOT = pathlib.Path(__file__).parents[2]
PRODUCT = ("chassis", "loyalty_service", "ratingslip_service", "deploy", "docs")
SERVICES = ("loyalty_service", "ratingslip_service")
LONGEST_FILE_LINES = 400
LONGEST_FUNCTION_LINES = 70
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "base", "manager", "common", "misc"}

# Who may import whom: a package that is missing here may be imported by any.
WALLS = {
    "chassis": {"loyalty_service", "ratingslip_service", "casino", "deploy", "tests"},
    "loyalty_service": {"ratingslip_service", "deploy", "tests"},
    "ratingslip_service": {"loyalty_service", "deploy", "tests"},
    "deploy": {"tests"},
}


def python_files(*packages: str) -> list[pathlib.Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def sql_files() -> list[pathlib.Path]:
    return [path for service in SERVICES for path in sorted((ROOT / service).rglob("*.sql"))]


def imported_packages(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def functions(path: pathlib.Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def shown(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("package", WALLS)
def test_the_walls_between_packages_stand(package: str) -> None:
    crossed = {
        shown(path): sorted(imported_packages(path) & WALLS[package])
        for path in python_files(package)
        if imported_packages(path) & WALLS[package]
    }
    assert crossed == {}


def test_the_sql_of_a_service_stands_in_its_sql_files_only() -> None:
    naming = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE)\b.*\b(FROM|INTO|SET)\b")
    files = {shown(path) for path in python_files(*SERVICES) if naming.search(path.read_text())}
    assert files == set()


def test_no_product_file_is_long() -> None:
    lengths = {
        shown(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*python_files(*PRODUCT), *sql_files()]
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}


def test_no_function_is_long() -> None:
    long = [
        f"{shown(path)}: {name} has {lines} lines"
        for path in python_files(*PRODUCT, "tests", "protos")
        if not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))
        for name, lines in functions(path)
        if lines > LONGEST_FUNCTION_LINES
    ]
    for path in sql_files():
        if path.parent.name == "functions":
            text = path.read_text(encoding="utf-8")
            lines = text[text.index("CREATE") :].count("\n")
            if lines > LONGEST_FUNCTION_LINES:
                long.append(f"{shown(path)} has {lines} lines")
    assert long == []


def test_each_function_file_holds_the_one_function_it_is_named_for() -> None:
    declared = re.compile(r"^CREATE OR REPLACE FUNCTION (\w+)\.(\w+)\(", re.MULTILINE)
    for path in sql_files():
        if path.parent.name == "functions":
            found = declared.findall(path.read_text(encoding="utf-8"))
            assert [name for _, name in found] == [path.stem], shown(path)


def test_every_module_says_what_it_owns() -> None:
    silent = [
        shown(path)
        for path in python_files(*PRODUCT, "tests")
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [
        shown(path) for path in python_files(*PRODUCT, "tests") if path.stem in VAGUE_NAMES
    ] == []


@pytest.mark.parametrize(
    ("descriptor", "permissions"),
    [
        (loyalty_pb2.DESCRIPTOR.services_by_name["LoyaltyService"], loyalty_access.PERMISSIONS),
        (
            ratingslip_pb2.DESCRIPTOR.services_by_name["RatingSlipService"],
            ratingslip_access.PERMISSIONS,
        ),
    ],
    ids=["loyalty", "ratingslip"],
)
def test_every_rpc_has_its_line_in_the_permission_table(
    descriptor: ServiceDescriptor, permissions: dict[str, object]
) -> None:
    methods = [f"{descriptor.full_name}/{method.name}" for method in descriptor.methods]
    assert sorted(permissions) == sorted(methods)


@pytest.mark.parametrize("service", SERVICES)
def test_one_verb_names_the_rpc_and_its_sql_function(service: str) -> None:
    # Recovering is an accrual for a closed slip: it has no SQL of its own.
    without_sql = {"RecoverSlipLoyalty"}
    tables = {**loyalty_access.PERMISSIONS, **ratingslip_access.PERMISSIONS}
    for full_name in tables:
        method = full_name.rpartition("/")[2]
        if f".{service.removesuffix('_service')}." in full_name and method not in without_sql:
            verb = re.sub(r"(?<!^)(?=[A-Z])", "_", method).lower()
            assert (ROOT / service / "sql" / "functions" / f"{verb}.sql").is_file(), verb
