"""The README's RPC tables, written from the comments in the protos, which are the one source.

    python -m docs.rpc_tables            writes them
    python -m docs.rpc_tables --check    exits with 1 when the README has others

Every RPC's comment ends with these lines, which may wrap; `Errors` may be missing. What
stands in parentheses explains and is left out:

    Roles: pit_boss, admin.
    Idempotent by: key.
    Errors: NOT_FOUND `RATING_SLIP_NOT_FOUND`; UNAVAILABLE or FAILED_PRECONDITION
    `PARTIAL_COMPLETION` (why).

What every RPC can answer stands in the conventions at the head of each file. This program
must not know an RPC, a role or a reason by name.
"""

from __future__ import annotations

import argparse
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
# In the order of the tables.
PROTOS = (
    ROOT / "protos/casino/ratingslip/v1/ratingslip.proto",
    ROOT / "protos/casino/loyalty/v1/loyalty.proto",
)
BEGIN = "<!-- rpc tables: `make tables` writes them from the protos -->"
END = "<!-- end of rpc tables -->"
CONVENTIONS_MARK = "Every RPC can answer:"

_PACKAGE = re.compile(r"^package ([\w.]+);$", re.MULTILINE)
_SERVICE = re.compile(r"^service (\w+)Service \{$", re.MULTILINE)
_RPC = re.compile(r"((?:^ *//.*\n)+)^ *rpc (\w+)\(", re.MULTILINE)
_FACT = re.compile(r"^(Roles|Idempotent by|Errors): ")
_ASIDE = re.compile(r"\s*\([^()]*\)")
_CLAUSE = re.compile(r"([A-Z_]+(?: or [A-Z_]+)*) (`[A-Z_]+`(?:, `[A-Z_]+`)*)")
_CONVENTION = re.compile(r" {4}([A-Z_]+) {2,}(.+)")
# A reason among other words: nothing else there has four capitals in a row.
_BARE_REASON = re.compile(r"\b[A-Z_]{4,}\b")

_HEADER = "| {title} | roles | idempotent by | errors of its own |\n|---|---|---|---|\n"
_ROW = "| `{name}` | {roles} | {idempotent_by} | {errors} |\n"


class Failure(NamedTuple):
    """One way to fail: any of the gRPC codes, with any of the reasons."""

    codes: tuple[grpc.StatusCode, ...]
    reasons: tuple[str, ...]

    def kinds(self) -> Iterator[tuple[grpc.StatusCode, str]]:
        """Every code with every reason."""
        return ((code, reason) for code in self.codes for reason in self.reasons)


class Rpc(NamedTuple):
    """What the comment of an RPC promises."""

    name: str
    roles: tuple[str, ...]
    idempotent_by: str
    failures: tuple[Failure, ...]


class Service(NamedTuple):
    """A service as its proto describes it."""

    # What people call it.
    title: str
    full_name: str
    # What every RPC can answer.
    common_failures: tuple[Failure, ...]
    rpcs: tuple[Rpc, ...]


def read_services() -> list[Service]:
    """Both services, as the protos describe them; raises `ValueError` for a bad comment."""
    return [parse_proto(path.read_text(encoding="utf-8")) for path in PROTOS]


def parse_proto(text: str) -> Service:
    """The service of a proto file; raises `ValueError` for a comment it cannot read."""
    package, service = _PACKAGE.search(text), _SERVICE.search(text)
    if package is None or service is None:
        raise ValueError("a proto without package or service")
    return Service(
        title=service[1],
        full_name=f"{package[1]}.{service[1]}Service",
        common_failures=tuple(_conventions(text[: package.start()])),
        rpcs=tuple(_rpc(name, _uncommented(comment)) for comment, name in _RPC.findall(text)),
    )


def rendered(readme: str, services: Sequence[Service]) -> str:
    """The README with these services' tables; raises `ValueError` when it has no place for them."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README lacks {BEGIN} or {END}")
    tables = "\n".join(_table(service) for service in services)
    return f"{before}{begin}\n\n{tables}\n{end}{behind}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether they are stale")
    arguments = parser.parse_args()
    present = README.read_text(encoding="utf-8")
    wanted = rendered(present, read_services())
    if not arguments.check:
        README.write_text(wanted, encoding="utf-8")
    elif present != wanted:
        raise SystemExit("stale RPC tables in the README, run `make tables`")


def _rpc(name: str, lines: list[str]) -> Rpc:
    facts: dict[str, str] = {}
    fact = ""
    for line in lines:
        if found := _FACT.match(line):
            fact = found[1]
            facts[fact] = line[found.end() :]
        elif fact:
            facts[fact] += f" {line}"
    try:
        roles, idempotent_by = facts["Roles"], facts["Idempotent by"]
    except KeyError as missing:
        raise ValueError(f"the comment of {name} does not say {missing}") from None
    return Rpc(
        name,
        tuple(roles.removesuffix(".").split(", ")),
        idempotent_by.removesuffix("."),
        tuple(_failures(name, facts.get("Errors", ""))),
    )


def _failures(name: str, text: str) -> Iterator[Failure]:
    for clause in filter(None, _ASIDE.sub("", text).removesuffix(".").split("; ")):
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            raise ValueError(f"the errors of {name}: cannot read {clause!r}")
        codes = tuple(_code(name, word) for word in found[1].split(" or "))
        yield Failure(codes, tuple(reason.strip("`") for reason in found[2].split(", ")))


def _conventions(header: str) -> Iterator[Failure]:
    """The list below the mark: a code in each line, its reasons behind it."""
    code, reasons = None, ""
    _, _, listed = header.partition(CONVENTIONS_MARK)
    for line in _uncommented(listed):
        if found := _CONVENTION.fullmatch(line):
            if code is not None:
                yield Failure((code,), tuple(_BARE_REASON.findall(reasons)))
            code, reasons = _code("the conventions", found[1]), found[2]
        elif code is not None and line.startswith("    "):
            reasons += f" {line}"
        elif code is not None:
            break
    if code is None:
        raise ValueError(f"no list below “{CONVENTIONS_MARK}”")
    yield Failure((code,), tuple(_BARE_REASON.findall(reasons)))


def _code(place: str, word: str) -> grpc.StatusCode:
    try:
        return grpc.StatusCode[word]
    except KeyError:
        raise ValueError(f"{place}: {word} is no gRPC code") from None


def _uncommented(comment: str) -> list[str]:
    return [line.strip().removeprefix("//").removeprefix(" ") for line in comment.splitlines()]


def _table(service: Service) -> str:
    return _HEADER.format(title=service.title) + "".join(
        _ROW.format(
            name=rpc.name,
            roles=", ".join(rpc.roles),
            idempotent_by=rpc.idempotent_by,
            errors="; ".join(_shown(failure) for failure in rpc.failures) or "none",
        )
        for rpc in service.rpcs
    )


def _shown(failure: Failure) -> str:
    codes = " or ".join(code.name for code in failure.codes)
    return f"{codes} {', '.join(f'`{reason}`' for reason in failure.reasons)}"


if __name__ == "__main__":
    main()
