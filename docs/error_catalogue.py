"""docs/errors.md: every reason with its code, its sentence and what to do about it.

    python -m docs.error_catalogue            writes it
    python -m docs.error_catalogue --check    exits with 1 when the page is another

Reasons, codes, sentences and details come from the code, the RPCs from the protos, and what
to do from `error_advice`. It must not know a reason by name.
"""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from docs import generated, rpc_tables
from docs.error_advice import ADVICE
from docs.raised_errors import Detail, RaisedError, raised_errors
from docs.rpc_tables import ROOT, Service

PAGE = ROOT / "docs" / "errors.md"
API_PAGE = "api.md"
SHARED_PACKAGE = "chassis"
# By the definition of google.rpc, bad fields are told with this code and no other.
NAMES_BAD_FIELDS = {"BadRequest": "INVALID_ARGUMENT"}

HEAD = """\
# Error catalogue

Every failure is a canonical gRPC code with exactly one `google.rpc.ErrorInfo`, whose `reason` is
one of these. Branch on the reason, never on the message. `domain` says which service has
answered, and the metadata always holds `correlationId`.
[How grpcurl shows it](grpcurl.md#read-an-error).

`make tables` writes this page from the code; what to do stands in
[error_advice.py](error_advice.py). A name in braces is replaced in the message. *Again* says
whether the same call can succeed later although nobody has changed anything.

A failure of the connection itself, or a limit of gRPC's own, has no `ErrorInfo`: UNAVAILABLE
without one comes from the way to the service, RESOURCE_EXHAUSTED without one is a message that is
too large, UNIMPLEMENTED without one a method that there is none of.

"""

_QUOTED = re.compile(r"`([^`]+)`")


class Reason(NamedTuple):
    """All that can be said of one reason."""

    name: str
    codes: tuple[str, ...]
    # By the titles of the services that can answer with it, in the order of the protos.
    sentences: Mapping[str, tuple[str, ...]]
    metadata: tuple[Detail, ...]
    details: tuple[Detail, ...]
    # Empty when it is what every RPC can answer.
    rpcs: tuple[str, ...]

    def again(self) -> str:
        """Whether the same call may succeed later, by what the error carries."""
        certainty = [each.is_certain for each in self.details if each.name == "RetryInfo"]
        if certainty and all(certainty):
            return "yes, after `RetryInfo`'s delay"
        if certainty:
            return "yes when UNAVAILABLE, after `RetryInfo`'s delay"
        if self.codes == ("DEADLINE_EXCEEDED",):
            return "yes, with the same key"
        return "no"


def pages() -> dict[pathlib.Path, str]:
    """The page as it should be."""
    services = rpc_tables.read_services()
    return {PAGE: rendered(read_reasons(services), services)}


def errors_of(service: Service) -> list[RaisedError]:
    """What the code of a service, and of what it shares with others, can answer with."""
    packages = (SHARED_PACKAGE, f"{service.title.lower()}_service")
    return raised_errors(path for each in packages for path in sorted((ROOT / each).rglob("*.py")))


def read_reasons(services: Sequence[Service]) -> list[Reason]:
    """Every reason, the ones of any RPC first, in the order of the code."""
    found = {service.title: errors_of(service) for service in services}
    names = dict.fromkeys(error.reason for errors in found.values() for error in errors)
    reasons = [_reason(name, found, services) for name in names]
    return sorted(reasons, key=lambda reason: bool(reason.rpcs))


def rendered(reasons: Sequence[Reason], services: Sequence[Service]) -> str:
    """The page; raises `ValueError` for a reason without advice, and for advice without one."""
    unmatched = {reason.name for reason in reasons} ^ ADVICE.keys()
    if unmatched:
        raise ValueError(f"raised, or advised on, but not both: {', '.join(sorted(unmatched))}")
    rpcs = frozenset(rpc.name for service in services for rpc in service.rpcs)
    rows = "".join(_row(reason) for reason in reasons)
    sections = "".join(itertools.chain(*(_section(reason, rpcs) for reason in reasons)))
    table = f"| reason | code | services | again |\n|---|---|---|---|\n{rows}\n"
    return (HEAD + table + sections).rstrip("\n") + "\n"


def _reason(
    name: str, found: Mapping[str, Sequence[RaisedError]], services: Sequence[Service]
) -> Reason:
    errors = {
        title: [error for error in errors if error.reason == name]
        for title, errors in found.items()
    }
    every = [error for each in errors.values() for error in each]
    is_common = any(
        name in failure.reasons for service in services for failure in service.common_failures
    )
    codes = tuple(dict.fromkeys(code for error in every for code in error.codes))
    return Reason(
        name=name,
        codes=codes,
        sentences={
            title: tuple(dict.fromkeys(_shown(error) for error in each))
            for title, each in errors.items()
            if each
        },
        metadata=tuple(_merged([error.metadata for error in every])),
        details=tuple(
            detail
            for detail in _merged([error.details for error in every])
            if NAMES_BAD_FIELDS.get(detail.name, codes[0]) in codes
        ),
        rpcs=()
        if is_common
        else tuple(
            rpc.name
            for service in services
            for rpc in service.rpcs
            if any(name in failure.reasons for failure in rpc.failures)
        ),
    )


def _merged(kinds: Sequence[Sequence[Detail]]) -> Iterator[Detail]:
    """Each once; certain when every kind of the error carries it for certain."""
    for name in dict.fromkeys(detail.name for details in kinds for detail in details):
        is_certain = all(Detail(name, True) in details for details in kinds)
        yield Detail(name, is_certain)


def _row(reason: Reason) -> str:
    codes, services = " or ".join(reason.codes), " and ".join(reason.sentences)
    link = f"[`{reason.name}`](#{reason.name.lower()})"
    return f"| {link} | {codes} | {services} | {reason.again()} |\n"


def _section(reason: Reason, rpcs: frozenset[str]) -> Iterator[str]:
    yield f"### {reason.name}\n\n"
    yield f"- **Code:** {' or '.join(reason.codes)}\n"
    for title, sentences in _grouped(reason.sentences):
        yield f"- **When{title}:** {'; '.join(sentences)}\n"
    listed = ", ".join(f"[{name}]({API_PAGE}#{name.lower()})" for name in reason.rpcs)
    yield f"- **From:** {listed or 'any RPC'}\n"
    yield f"- **Metadata:** {_listed((Detail('correlationId', True), *reason.metadata))}\n"
    if reason.details:
        yield f"- **Details:** {_listed(reason.details)}\n"
    yield f"- **Again:** {reason.again()}\n"
    yield f"- **What to do:** {_linked(ADVICE[reason.name], rpcs)}\n\n"


def _shown(error: RaisedError) -> str:
    return f"“{error.sentence}”" if error.is_message else error.sentence.removesuffix(".")


def _grouped(sentences: Mapping[str, tuple[str, ...]]) -> Iterable[tuple[str, tuple[str, ...]]]:
    """The sentences, apart for each service where they differ."""
    if len(set(sentences.values())) == 1:
        return [("", next(iter(sentences.values())))]
    return [(f", {title}", each) for title, each in sentences.items()]


def _listed(details: Iterable[Detail]) -> str:
    return ", ".join(
        f"`{detail.name}`{'' if detail.is_certain else ' (where it applies)'}" for detail in details
    )


def _linked(text: str, rpcs: frozenset[str]) -> str:
    def link(quoted: re.Match[str]) -> str:
        name = quoted[1]
        return f"[{quoted[0]}]({API_PAGE}#{name.lower()})" if name in rpcs else quoted[0]

    return _QUOTED.sub(link, text)


if __name__ == "__main__":
    generated.main(__doc__ or "", pages)
