"""What a caller may send as `x-correlation-id`, and what becomes of anything else."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.clients import CORRELATION_HEADER, Client, correlation_of
from tests.integration.services import Pair

BAD = {
    "nothing": [""],
    "a blank": ["two words"],
    "a slash": ["a/b"],
    "a colon": ["a:b"],
    "a quote": ['a"b'],
    "a percent sign": ["a%20b"],
    "129 characters": ["c" * 129],
    "two of them": ["first", "second"],
    "the same twice": ["same", "same"],
}


@pytest.mark.parametrize("correlation_id", ["a", "A-Za.z0_9", "c" * 128, "-", "..."])
async def test_a_good_correlation_id_comes_back(correlation_id: str, boss: Client) -> None:
    call = boss.send(
        boss.slips.ListRatingSlips,
        ratingslip_pb2.ListRatingSlipsRequest(),
        headers=[(CORRELATION_HEADER, correlation_id)],
    )

    await call

    assert correlation_of(await call.initial_metadata()) == correlation_id


@pytest.mark.parametrize("flaw", BAD)
async def test_a_bad_correlation_id_is_refused_under_one_that_is_made(
    flaw: str, boss: Client
) -> None:
    headers = [(CORRELATION_HEADER, value) for value in BAD[flaw]]

    refusals = [
        await boss.refusal(
            boss.slips.ListRatingSlips, ratingslip_pb2.ListRatingSlipsRequest(), headers=headers
        ),
        await boss.refusal(
            boss.points.ListLedgerEntries, loyalty_pb2.ListLedgerEntriesRequest(), headers=headers
        ),
    ]

    for refusal in refusals:
        assert refusal.kind == (StatusCode.INVALID_ARGUMENT, "INVALID_CORRELATION_ID")
        assert CORRELATION_HEADER in refusal.message
        assert refusal.correlation_id not in BAD[flaw]


async def test_a_refused_correlation_id_can_be_looked_up_under_the_one_that_was_made(
    boss: Client, pair: Pair
) -> None:
    refusal = await boss.refusal(
        boss.slips.ListRatingSlips, ratingslip_pb2.ListRatingSlipsRequest(), correlation_id="a/b"
    )

    event = await pair.ratingslip.log.event("rpc", correlation_id=refusal.correlation_id)

    assert event["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert event["reason"] == "INVALID_CORRELATION_ID"
