"""Idempotency keys: the same request is done once, another one under its key not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from grpc import StatusCode

from casino.ratingslip.v1 import ratingslip_pb2
from tests.databases import RATINGSLIP, Connection, Service, TestDatabase
from tests.integration.casino import HOUR, MINUTE, Casino, ago, money, new_slip, start, timestamp
from tests.integration.clients import Client
from tests.integration.identity import Identity
from tests.integration.locks import held_slips
from tests.integration.services import Pair

CONFLICT = (StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_KEY_CONFLICT")
CALLS_AT_ONCE = 10
KEYED = ["StartRatingSlip", "PauseRatingSlip", "ResumeRatingSlip", "UpdateAverageBet"]


async def prepared(rpc: str, boss: Client) -> Any:
    """A request of an RPC that will be done when it is sent, with a key."""
    if rpc == "StartRatingSlip":
        return new_slip(idempotency_key="key")
    slip = await start(boss)
    common: dict[str, Any] = {"rating_slip_id": slip.rating_slip_id, "idempotency_key": "key"}
    if rpc == "UpdateAverageBet":
        return ratingslip_pb2.UpdateAverageBetRequest(**common, average_bet=money(75))
    if rpc == "PauseRatingSlip":
        return ratingslip_pb2.PauseRatingSlipRequest(**common)
    pause = ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=slip.rating_slip_id)
    await boss.call(boss.slips.PauseRatingSlip, pause)
    return ratingslip_pb2.ResumeRatingSlipRequest(**common)


def differing(request: Any) -> Any:
    """The same request but for one fact."""
    other = type(request)()
    other.CopyFrom(request)
    if isinstance(request, ratingslip_pb2.StartRatingSlipRequest):
        other.seat_number += 1
    elif isinstance(request, ratingslip_pb2.UpdateAverageBetRequest):
        other.average_bet.units += 1
    else:
        other.event_time.CopyFrom(timestamp(ago(MINUTE)))
    return other


def ahead_of_time(request: Any) -> Any:
    """The same request with a time that has not come, which is refused."""
    other = type(request)()
    other.CopyFrom(request)
    is_start = isinstance(request, ratingslip_pb2.StartRatingSlipRequest)
    moment = other.start_time if is_start else other.event_time
    moment.CopyFrom(timestamp(ago(-HOUR)))
    return other


async def changes_under_the_key(sql: Connection, casino: Casino) -> int:
    count: int = await sql.fetchval(
        "SELECT count(*) FROM ratingslip.rating_slip_event"
        " WHERE casino_id = $1 AND idempotency_key = 'key'",
        casino.id,
    )
    return count


@pytest.mark.parametrize("rpc", KEYED)
async def test_the_same_request_is_done_once(
    rpc: str, boss: Client, casino: Casino, ratingslip_sql: Connection
) -> None:
    method = getattr(boss.slips, rpc)
    request = await prepared(rpc, boss)

    first = await boss.call(method, request)
    second = await boss.call(method, request)

    assert (first.is_existing, second.is_existing) == (False, True)
    assert second.rating_slip.rating_slip_id == first.rating_slip.rating_slip_id
    assert second.rating_slip.update_time == first.rating_slip.update_time
    assert await changes_under_the_key(ratingslip_sql, casino) == 1


@pytest.mark.parametrize("rpc", KEYED)
async def test_the_same_request_many_times_at_once_is_done_once(
    rpc: str, boss: Client, casino: Casino, ratingslip_sql: Connection
) -> None:
    method = getattr(boss.slips, rpc)
    request = await prepared(rpc, boss)

    answers = await asyncio.gather(*(boss.call(method, request) for _ in range(CALLS_AT_ONCE)))

    assert [answer.is_existing for answer in answers].count(False) == 1
    assert len({answer.rating_slip.rating_slip_id for answer in answers}) == 1
    assert await changes_under_the_key(ratingslip_sql, casino) == 1


async def test_a_start_that_comes_to_be_while_its_repetition_looks_around_is_found_by_it(
    boss: Client,
    casino: Casino,
    pair: Pair,
    identity: Identity,
    pair_databases: Mapping[Service, TestDatabase],
) -> None:
    request = new_slip(idempotency_key="key")
    elsewhere = Casino(pair, identity)
    stranger = elsewhere.for_role("pit_boss")
    model = (await stranger.call(stranger.slips.StartRatingSlip, request)).rating_slip
    async with held_slips(pair_databases[RATINGSLIP].superuser_url) as held:
        # The first start: the same as in another casino, and still to be committed.
        for table in ("rating_slip", "rating_slip_event"):
            await held.connection.execute(
                f"INSERT INTO ratingslip.{table}"
                " SELECT (jsonb_populate_record(t, jsonb_build_object('casino_id', $2::text))).*"
                f" FROM ratingslip.{table} AS t WHERE casino_id = $1",
                elsewhere.id,
                casino.id,
            )
        repetition = boss.send(boss.slips.StartRatingSlip, request)
        await held.awaited()

    answer = await repetition

    assert answer.is_existing
    assert answer.rating_slip.rating_slip_id == model.rating_slip_id


@pytest.mark.parametrize("rpc", KEYED)
async def test_another_request_under_the_key_is_refused_and_changes_nothing(
    rpc: str, boss: Client, casino: Casino, ratingslip_sql: Connection
) -> None:
    method = getattr(boss.slips, rpc)
    request = await prepared(rpc, boss)
    done = await boss.call(method, request)

    refusal = await boss.refusal(method, differing(request))

    assert refusal.kind == CONFLICT
    assert refusal.metadata["slipId"] == done.rating_slip.rating_slip_id
    assert await changes_under_the_key(ratingslip_sql, casino) == 1
    again = await boss.call(method, request)
    assert again.rating_slip.update_time == done.rating_slip.update_time


@pytest.mark.parametrize("rpc", KEYED)
async def test_a_refused_call_binds_nothing(rpc: str, boss: Client) -> None:
    method = getattr(boss.slips, rpc)
    request = await prepared(rpc, boss)
    refusal = await boss.refusal(method, ahead_of_time(request))

    answer = await boss.call(method, request)

    assert refusal.kind == (StatusCode.INVALID_ARGUMENT, "EVENT_TIME_IN_FUTURE")
    assert not answer.is_existing


async def test_a_key_belongs_to_one_rpc_too(boss: Client) -> None:
    started = await boss.call(boss.slips.StartRatingSlip, new_slip(idempotency_key="key"))
    pause = ratingslip_pb2.PauseRatingSlipRequest(
        rating_slip_id=started.rating_slip.rating_slip_id, idempotency_key="key"
    )

    refusal = await boss.refusal(boss.slips.PauseRatingSlip, pause)

    assert refusal.kind == CONFLICT


async def test_a_replay_answers_with_the_slip_as_it_stands_now(boss: Client) -> None:
    slip = await start(boss)
    pause = ratingslip_pb2.PauseRatingSlipRequest(
        rating_slip_id=slip.rating_slip_id, idempotency_key="key"
    )
    await boss.call(boss.slips.PauseRatingSlip, pause)
    resume = ratingslip_pb2.ResumeRatingSlipRequest(rating_slip_id=slip.rating_slip_id)
    await boss.call(boss.slips.ResumeRatingSlip, resume)

    replayed = await boss.call(boss.slips.PauseRatingSlip, pause)

    assert replayed.is_existing
    assert replayed.rating_slip.status == ratingslip_pb2.SLIP_STATUS_OPEN


async def test_a_request_is_the_same_however_its_facts_are_spelt(boss: Client) -> None:
    request = new_slip(idempotency_key="key", average_bet=money(50, 50))
    first = await boss.call(boss.slips.StartRatingSlip, request)
    request.visit_id = request.visit_id.upper()
    request.game_settings.house_edge_percent += "0"
    request.game_settings.point_multiplier = "1.0"

    second = await boss.call(boss.slips.StartRatingSlip, request)

    assert second.is_existing
    assert second.rating_slip.rating_slip_id == first.rating_slip.rating_slip_id
