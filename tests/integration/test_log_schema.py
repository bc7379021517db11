"""Every line of a running service's log is what docs/log_schema.json says, whoever is calling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from deploy.local.proxy import Mode
from tests.integration.casino import (
    Casino,
    an_hour_of,
    new_id,
    new_promotion,
    new_redemption,
    new_reversal,
    new_reward,
    new_slip,
    start,
)
from tests.integration.clients import Headers
from tests.integration.identity import Identity
from tests.integration.log_schema import LogSchema, finished_lines, parsed
from tests.integration.logs import errors_beside
from tests.integration.patience import PATIENCE_SECONDS
from tests.integration.requests import PREPARED
from tests.integration.services import BehindProxy, Pair

# Stands in everything that is sent: whoever finds it in a log has found a caller's words.
MARK = "callers-own-word"
# Each is a dozen calls.
EXAMPLES = 12
LONG = 10_000
# Half a surrogate pair, as no honest encoder writes it.
HALF_A_PAIR = b"\xed\xa0\x80"
AWKWARD = ["\n", "\r", "\u2028", "\u2029", "\x85", "\0", '"', "\\", "{}", "%s", "message", "args"]
Raw: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
# What an ordinary day leaves behind.
USUAL_EVENTS = {
    "listening",
    "health",
    "rpc",
    "RATING_SLIP_COMPLETED",
    "POINTS_UPDATE_REQUESTED",
    "drift_check",
}


@pytest.fixture(scope="module")
def log_schema() -> LogSchema:
    return LogSchema()


def marked_texts(characters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Any text with the mark in it."""
    around = st.lists(characters, max_size=6).map("".join)
    return st.tuples(around, around).map(MARK.join)


def any_characters() -> st.SearchStrategy[str]:
    # A string field takes no half of a surrogate pair; as bytes it is tried below.
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    return text | st.sampled_from(AWKWARD)


def header_characters() -> st.SearchStrategy[str]:
    """gRPC lets nothing else out as a header's text."""
    return st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


def texts_in_every_field(text: str) -> Iterator[Message]:
    """Requests with a text wherever callers can put one into their own words."""
    yield new_slip(
        idempotency_key=text,
        game_settings=ratingslip_pb2.GameSettings(
            game_name=text, house_edge_percent=text, decisions_per_hour=70, point_multiplier=text
        ),
    )
    # So much of it is accepted, and gets as far as the database.
    yield new_slip(
        game_settings=ratingslip_pb2.GameSettings(
            game_name=text[:80], house_edge_percent="1.5", decisions_per_hour=70
        )
    )
    yield ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=text)
    yield ratingslip_pb2.ListRatingSlipsRequest(page_token=text, player_id=text)
    yield new_redemption(note=text[:500])
    yield new_redemption(note=text, idempotency_key=text[:128])
    yield new_reward(reason=text[:500])
    yield new_promotion(note=text[:500], idempotency_key=text)
    yield new_reversal(new_id(), reason=text[:500])
    yield loyalty_pb2.ListLedgerEntriesRequest(correlation_id=text, page_token=text)
    yield loyalty_pb2.ReconcileBalanceRequest(player_id=new_id(), reason=text[:500])


def method_of(request: Message) -> str:
    package = request.DESCRIPTOR.file.package
    service = "LoyaltyService" if package == "casino.loyalty.v1" else "RatingSlipService"
    return f"/{package}.{service}/{request.DESCRIPTOR.name.removesuffix('Request')}"


async def send(pair: Pair, method: str, body: bytes, headers: Headers) -> None:
    """Sends bytes, and waits for whatever comes of it."""
    process = pair.loyalty if "loyalty" in method else pair.ratingslip
    raw: Raw = process.channel.unary_unary(method)
    await raw(body, metadata=grpc.aio.Metadata(*headers), timeout=PATIENCE_SECONDS).code()


async def send_as_admin(pair: Pair, casino: Casino, request: Message) -> None:
    """Sends a request in a role that may make it."""
    is_accrual = isinstance(request, loyalty_pb2.AccruePointsFromSlipRequest)
    token = casino.token("service" if is_accrual else "admin")
    header = ("authorization", f"Bearer {token}")
    await send(pair, method_of(request), request.SerializeToString(), [header])


async def test_an_ordinary_day_leaves_nothing_but_documented_lines(
    pair: Pair, casino: Casino, log_schema: LogSchema
) -> None:
    for prepared in PREPARED.values():
        await send_as_admin(pair, casino, await prepared(casino))

    events = log_schema.require([pair.ratingslip.log.path, pair.loyalty.log.path])

    assert events >= USUAL_EVENTS


async def test_a_person_is_named_in_the_fields_that_are_marked_as_personal_and_in_no_other(
    pair: Pair, casino: Casino, log_schema: LogSchema
) -> None:
    logs = [pair.ratingslip.log.path, pair.loyalty.log.path]
    before = [len(finished_lines(log)) for log in logs]
    player, stranger = new_id(), new_id()
    slip = await start(casino.for_role("pit_boss"), player_id=player)
    people = {player, stranger, casino.staff_id("pit_boss"), casino.staff_id("admin")}
    for request in (
        an_hour_of(slip),
        new_reward(player_id=player),
        new_redemption(player_id=player, points=10**9),
        new_redemption(player_id=stranger),
        loyalty_pb2.CheckBalanceDriftRequest(player_id=player),
    ):
        await send_as_admin(pair, casino, request)

    lines = [
        parsed(line)
        for log, count in zip(logs, before, strict=True)
        for line in finished_lines(log)[count:]
    ]
    found = {
        (line["event"], name)
        for line in lines
        for name, value in line.items()
        if any(person in str(value) for person in people)
    }
    assert {event for event, _ in found} >= {"rpc", "RATING_SLIP_COMPLETED", "drift_check"}
    assert {each for each in found if each[1] not in log_schema.personal_fields(each[0])} == set()


async def test_so_does_a_close_that_fails(
    casino: Casino, behind_proxy: BehindProxy, log_schema: LogSchema
) -> None:
    boss = casino.for_role("pit_boss", ratingslip=behind_proxy.ratingslip)
    slip = await start(boss)
    await behind_proxy.proxy.switch(Mode.REFUSE)
    await boss.refusal(boss.slips.CompleteRatingSlip, an_hour_of(slip))

    assert "slip_completion_failed" in log_schema.require([behind_proxy.ratingslip.log.path])


@settings(max_examples=EXAMPLES)
@given(text=marked_texts(any_characters()), header=marked_texts(header_characters()))
@example(text="\0\n\u2028" + MARK * (LONG // len(MARK)), header="!" + MARK * 500)
@example(text=f'"}}\n{{"event": "forged", "{MARK}": "', header=f'"event": "{MARK}"')
async def test_nothing_that_a_caller_writes_breaks_a_line_or_gets_into_one(
    text: str, header: str, pair: Pair, identity: Identity, log_schema: LogSchema
) -> None:
    casino = Casino(pair, identity)
    logs = [pair.ratingslip.log.path, pair.loyalty.log.path]
    before = [len(finished_lines(log)) for log in logs]
    admin = casino.somebody("admin")
    good = [("authorization", f"Bearer {casino.token('admin')}")]
    read = ratingslip_pb2.ListRatingSlipsRequest()

    for request in texts_in_every_field(text):
        await send(pair, method_of(request), request.SerializeToString(), good)
    half = new_redemption(note="###").SerializeToString().replace(b"###", HALF_A_PAIR)
    await send(pair, method_of(new_redemption()), half, good)
    for sent in (
        [("authorization", header)],
        [("authorization", f"Bearer {header}")],
        [*good, ("x-correlation-id", f"!{header}")],
        [*good, ("tracestate", header), ("traceparent", header), ("baggage", header)],
        [*good, ("message", header), ("args", header), (MARK, header)],
    ):
        await send(pair, method_of(read), read.SerializeToString(), sent)
    await admin.call(admin.points.VerifyLedger, loyalty_pb2.VerifyLedgerRequest())

    for log, count in zip(logs, before, strict=True):
        lines = finished_lines(log)[count:]
        assert lines
        log_schema.require_lines(lines)
        assert not [line for line in lines if MARK in line]
        assert MARK not in errors_beside(log).read_text(encoding="utf-8")
