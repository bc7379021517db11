"""docs/errors.md names every reason there is in the code, as it is there, and what to do."""

from __future__ import annotations

import pathlib
import sys
import textwrap

import pytest

from docs import error_catalogue, generated, rpc_tables
from docs.error_advice import ADVICE
from docs.raised_errors import Detail, raised_errors
from tests.unit.raised_reasons import raised_reasons

SERVICES = rpc_tables.read_services()
REASONS = {reason.name: reason for reason in error_catalogue.read_reasons(SERVICES)}
CODE = [
    path
    for package in ("chassis", "ratingslip_service", "loyalty_service")
    for path in (rpc_tables.ROOT / package).rglob("*.py")
]

SAMPLE = '''
BROKEN = "GLASS_BROKEN"


class Drink(NamedTuple):
    code: grpc.StatusCode
    reason: str
    text: str
    field: str = ""


DRINKS = {
    "1": Drink(grpc.StatusCode.NOT_FOUND, "NO_BEER", "no {brand} is left"),
    "2": Drink(grpc.StatusCode.INVALID_ARGUMENT, "NO_SUCH_DRINK", "what is that?", field="drink"),
}


def from_bar(drink: Drink, metadata: dict[str, str]) -> ServiceError:
    text = drink.text.format(**metadata)
    return ServiceError(
        drink.code, drink.reason, text, metadata=metadata,
        violations=[FieldViolation(drink.field, text)] if drink.field else (),
    )


def closed(reason: str, text: str) -> ServiceError:
    return ServiceError(grpc.StatusCode.UNAVAILABLE, reason, text, retry_after_seconds=1.0)


def broken(glass: Glass, *, final: bool) -> ServiceError:
    """The glass is broken."""
    code = grpc.StatusCode.ABORTED if final else grpc.StatusCode.UNAVAILABLE
    return ServiceError(
        code, BROKEN, sentence_of(glass),
        metadata={"glassId": glass.id} if glass.id else {},
        retry_after_seconds=None if final else 2.0,
    )


def open_bar(now: Time) -> None:
    raise closed("BAR_CLOSED", f"the bar opens at {now.opening}")
'''


def errors_in(directory: pathlib.Path, code: str) -> list[tuple[object, ...]]:
    """What is read from code, without the file and whether it is a message."""
    file = directory / "bar.py"
    file.write_text(textwrap.dedent(code))
    return [
        (each.reason, each.codes, each.sentence, each.metadata, each.details)
        for each in raised_errors([file])
    ]


def test_the_page_is_what_the_code_makes_of_it() -> None:
    (page,) = error_catalogue.pages().values()
    assert error_catalogue.PAGE.read_text(encoding="utf-8") == page, "run `make tables`"


def test_every_reason_in_the_code_is_in_the_catalogue_and_no_other() -> None:
    assert REASONS.keys() == raised_reasons(CODE)
    assert REASONS.keys() == ADVICE.keys()


def test_code_and_protos_agree_on_the_codes_of_each_reason() -> None:
    documented: dict[str, set[str]] = {}
    for service in SERVICES:
        for failure in (
            *service.common_failures,
            *(f for rpc in service.rpcs for f in rpc.failures),
        ):
            for code, reason in failure.kinds():
                documented.setdefault(reason, set()).add(code.name)
    assert {name: set(reason.codes) for name, reason in REASONS.items()} == documented


def test_an_error_is_read_through_what_makes_it(tmp_path: pathlib.Path) -> None:
    assert errors_in(tmp_path, SAMPLE) == [
        ("NO_BEER", ("NOT_FOUND",), "no {brand} is left", (Detail("brand", True),), ()),
        (
            "NO_SUCH_DRINK",
            ("INVALID_ARGUMENT",),
            "what is that?",
            (),
            (Detail("BadRequest", True),),
        ),
        (
            "GLASS_BROKEN",
            ("ABORTED", "UNAVAILABLE"),
            "The glass is broken.",
            (Detail("glassId", False),),
            (Detail("RetryInfo", False),),
        ),
        (
            "BAR_CLOSED",
            ("UNAVAILABLE",),
            "the bar opens at {opening}",
            (),
            (Detail("RetryInfo", True),),
        ),
    ]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ServiceError(grpc.StatusCode.ABORTED, reason_of(it), 'a text')", "what reason is"),
        ("ServiceError(code_of(it), 'SOME_REASON', 'a text')", "no gRPC code for SOME_REASON"),
    ],
)
def test_an_error_that_cannot_be_read_is_named(
    tmp_path: pathlib.Path, code: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        errors_in(tmp_path, code)


def test_a_reason_without_advice_is_refused() -> None:
    unknown = next(iter(REASONS.values()))._replace(name="SOMETHING_NEW")
    with pytest.raises(ValueError, match="SOMETHING_NEW"):
        error_catalogue.rendered([*REASONS.values(), unknown], SERVICES)


def test_a_stale_page_is_named_and_only_written_when_asked(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    monkeypatch.setattr(sys, "argv", ["program", "--check"])
    with pytest.raises(SystemExit, match=r"stale: docs/page\.md"):
        generated.main("", lambda: {page: "new"})
    assert not page.exists()

    monkeypatch.setattr(sys, "argv", ["program"])
    generated.main("", lambda: {page: "new"})
    monkeypatch.setattr(sys, "argv", ["program", "--check"])
    generated.main("", lambda: {page: "new"})
    assert page.read_text() == "new"
