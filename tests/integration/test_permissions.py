"""Who may call what: the matrix of RPCs and roles, as one table."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import Casino, complete, new_id, start
from tests.integration.clients import Client, read_refusal
from tests.integration.identity import Identity

# `yes` may call; `no` is PERMISSION_DENIED; `-` is UNAUTHENTICATED, because RatingSlip
# trusts no issuer of service tokens at all.
MATRIX = """
                        dealer  cashier  pit_boss  admin  service
StartRatingSlip         no      no       yes       yes    -
PauseRatingSlip         no      no       yes       yes    -
ResumeRatingSlip        no      no       yes       yes    -
UpdateAverageBet        no      no       yes       yes    -
CompleteRatingSlip      no      no       yes       yes    -
RecoverSlipLoyalty      no      no       yes       yes    -
GetRatingSlip           no      yes      yes       yes    -
ListRatingSlips         no      yes      yes       yes    -
AccruePointsFromSlip    no      no       no        no     yes
GetPlayerLoyalty        no      yes      yes       yes    yes
ListLedgerEntries       no      yes      yes       yes    yes
"""
HEADER, *ROWS = [line.split() for line in MATRIX.strip().splitlines()]
VERDICTS = {
    # An empty request is let in and found wanting, or answered where it is a good one.
    StatusCode.OK: "yes",
    StatusCode.INVALID_ARGUMENT: "yes",
    StatusCode.PERMISSION_DENIED: "no",
    StatusCode.UNAUTHENTICATED: "-",
}
METHODS = {
    method.name: method
    for service in (
        ratingslip_pb2.DESCRIPTOR.services_by_name["RatingSlipService"],
        loyalty_pb2.DESCRIPTOR.services_by_name["LoyaltyService"],
    )
    for method in service.methods
}


def empty_request(rpc: str) -> Message:
    module = ratingslip_pb2 if hasattr(ratingslip_pb2, f"{rpc}Request") else loyalty_pb2
    request: Message = getattr(module, f"{rpc}Request")()
    return request


async def verdict(client: Client, rpc: str) -> str:
    stub = client.slips if hasattr(client.slips, rpc) else client.points
    try:
        await client.call(getattr(stub, rpc), empty_request(rpc))
    except grpc.aio.AioRpcError as error:
        refusal = read_refusal(error)
        if refusal.code is StatusCode.PERMISSION_DENIED:
            assert refusal.reason == "ROLE_NOT_PERMITTED"
        return VERDICTS[refusal.code]
    return VERDICTS[StatusCode.OK]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
async def test_each_role_may_call_what_the_matrix_says(row: list[str], casino: Casino) -> None:
    rpc, *expected = row

    verdicts = [await verdict(casino.for_role(role), rpc) for role in HEADER]

    assert dict(zip(HEADER, verdicts, strict=True)) == dict(zip(HEADER, expected, strict=True))


def test_the_matrix_has_every_rpc_of_both_services() -> None:
    assert [rpc for rpc, *_ in ROWS] == list(METHODS)


async def test_a_refused_role_is_named_and_changes_nothing(casino: Casino, boss: Client) -> None:
    slip = await start(boss)
    cashier = casino.for_role("cashier")

    refusal = await cashier.refusal(
        cashier.slips.CompleteRatingSlip,
        ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=slip.rating_slip_id),
    )

    assert refusal.metadata["role"] == "cashier"
    assert "CompleteRatingSlip" in refusal.message
    closed = await complete(boss, slip)
    assert not closed.loyalty.is_existing


@pytest.mark.parametrize("role", ["admin", "pit_boss", "cashier", "dealer"])
async def test_the_issuer_of_services_cannot_make_staff(
    role: str, casino: Casino, identity: Identity
) -> None:
    made = casino.with_token(identity.service_token(casino.id, new_id(), role=role))

    refusal = await made.refusal(
        made.points.ListLedgerEntries, loyalty_pb2.ListLedgerEntriesRequest()
    )

    assert refusal.kind == (StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_the_issuer_of_staff_cannot_make_a_service(
    casino: Casino, identity: Identity
) -> None:
    act = {"act": {"sub": "ratingslip"}}
    made = casino.with_token(identity.staff_token("service", casino.id, new_id(), claims=act))

    refusal = await made.refusal(
        made.points.AccruePointsFromSlip, loyalty_pb2.AccruePointsFromSlipRequest()
    )

    assert refusal.kind == (StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
