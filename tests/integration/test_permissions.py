"""Who may call what, in one's own casino and about another's: one table."""

from __future__ import annotations

import re
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.databases import Connection
from tests.integration.casino import Casino, complete, new_id, new_redemption, new_reward, start
from tests.integration.clients import Client, read_refusal
from tests.integration.identity import Identity
from tests.integration.requests import PREPARED, prepared
from tests.integration.services import Pair

# Each cell is a good request, sent by this role. In the casino that it is about: `yes` is
# done, `no` is PERMISSION_DENIED, `-` is UNAUTHENTICATED, because RatingSlip trusts no
# issuer of service tokens at all. Sent by the same role of another casino it is refused
# just so; for those who may call it is as the last column says: `none` is NOT_FOUND,
# `apart` is done or answered in the caller's own casino, and shows nothing of the other.
MATRIX = """
                        dealer  cashier  pit_boss  admin  service   another casino
StartRatingSlip         no      no       yes       yes    -         apart
PauseRatingSlip         no      no       yes       yes    -         none
ResumeRatingSlip        no      no       yes       yes    -         none
UpdateAverageBet        no      no       yes       yes    -         none
CompleteRatingSlip      no      no       yes       yes    -         none
RecoverSlipLoyalty      no      no       yes       yes    -         none
PreviewSlipPoints       no      yes      yes       yes    -         none
GetRatingSlip           no      yes      yes       yes    -         none
ListRatingSlips         no      yes      yes       yes    -         apart
ListSlipEvents          no      yes      yes       yes    -         apart
AccruePointsFromSlip    no      no       no        no     yes       apart
IssueManualReward       no      no       yes       yes    no        apart
RedeemPoints            no      yes      yes       yes    no        none
ApplyPromotion          no      no       yes       yes    no        apart
ReverseEntry            no      no       no        yes    no        none
SuggestPoints           no      yes      yes       yes    yes       apart
GetPlayerLoyalty        no      yes      yes       yes    yes       none
ListLedgerEntries       no      yes      yes       yes    yes       apart
CheckBalanceDrift       no      no       no        yes    no        apart
ReconcileBalance        no      no       no        yes    no        none
VerifyLedger            no      no       no        yes    no        apart
GetLoyaltyProgram       no      yes      yes       yes    yes       apart
UpdateLoyaltyProgram    no      no       no        yes    no        apart
"""
# Within an RPC.
FINER_MATRIX = """
                        dealer  cashier  pit_boss  admin  service
negative points         no      no       no        yes    no
allow_overdraw          no      no       yes       yes    no
"""
ROLES = ("dealer", "cashier", "pit_boss", "admin", "service")
ROWS = [line.split() for line in MATRIX.strip().splitlines()[1:]]
FINER_REASONS = {
    "negative points": "ADJUSTMENT_NOT_AUTHORIZED",
    "allow_overdraw": "OVERDRAW_NOT_AUTHORIZED",
}
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OWN, ANOTHER = "yes", "apart"
VERDICTS = {
    StatusCode.NOT_FOUND: "none",
    StatusCode.PERMISSION_DENIED: "no",
    StatusCode.UNAUTHENTICATED: "-",
}
METHODS = [
    method.name
    for service in (
        ratingslip_pb2.DESCRIPTOR.services_by_name["RatingSlipService"],
        loyalty_pb2.DESCRIPTOR.services_by_name["LoyaltyService"],
    )
    for method in service.methods
]
# Everything a casino has, in both databases.
SLIP_TABLES = ("rating_slip", "rating_slip_event")
LOYALTY_TABLES = ("loyalty_program", "player_loyalty", "loyalty_ledger", "loyalty_audit")


@pytest.fixture
def other_casino(pair: Pair, identity: Identity) -> Casino:
    return Casino(pair, identity)


async def verdict(client: Client, rpc: str, request: Message, done: str) -> tuple[str, str]:
    """What becomes of a request, in the matrix' words, and the answer as text."""
    stub = client.slips if hasattr(client.slips, rpc) else client.points
    try:
        answer = await client.call(getattr(stub, rpc), request)
    except grpc.aio.AioRpcError as error:
        refusal = read_refusal(error)
        return VERDICTS[refusal.code], ""
    return done, str(answer)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
async def test_each_role_may_do_what_the_matrix_says_in_its_own_casino(
    row: list[str], casino: Casino
) -> None:
    rpc, *expected = row[:-1]

    verdicts = [
        (await verdict(casino.for_role(role), rpc, await prepared(rpc, casino), OWN))[0]
        for role in ROLES
    ]

    assert dict(zip(ROLES, verdicts, strict=True)) == dict(zip(ROLES, expected, strict=True))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
async def test_about_another_casino_each_role_gets_what_the_matrix_says(
    row: list[str],
    casino: Casino,
    other_casino: Casino,
    ratingslip_sql: Connection,
    loyalty_sql: Connection,
) -> None:
    rpc, *own, another = row
    expected = [another if cell == OWN else cell for cell in own]
    verdicts = []
    for role in ROLES:
        request = await prepared(rpc, casino)
        before = await everything_of(casino, ratingslip_sql, loyalty_sql)

        word, answer = await verdict(other_casino.for_role(role), rpc, request, ANOTHER)

        verdicts.append(word)
        assert await everything_of(casino, ratingslip_sql, loyalty_sql) == before
        # Whatever was named is ours to hear again; anything else of theirs is not.
        unnamed = identifiers(before) - identifiers([str(request)])
        assert not [found for found in unnamed if found in answer]

    assert dict(zip(ROLES, verdicts, strict=True)) == dict(zip(ROLES, expected, strict=True))


@pytest.mark.parametrize("line", FINER_MATRIX.strip().splitlines()[1:], ids=str.strip)
async def test_within_an_rpc_some_things_take_a_higher_role(line: str, casino: Casino) -> None:
    what = line[:24].strip()
    expected = line[24:].split()
    player_id = (await complete_slip(casino)).player_id
    verdicts = []
    for role in ROLES:
        client = casino.for_role(role)
        if what == "negative points":
            method: Any = client.points.IssueManualReward
            request: Message = new_reward(player_id=player_id, points=-1)
        else:
            method = client.points.RedeemPoints
            request = new_redemption(player_id=player_id, allow_overdraw=True)
        try:
            await client.call(method, request)
            verdicts.append("yes")
        except grpc.aio.AioRpcError as error:
            refusal = read_refusal(error)
            assert refusal.code is StatusCode.PERMISSION_DENIED
            assert refusal.reason in ("ROLE_NOT_PERMITTED", FINER_REASONS[what])
            verdicts.append("no")

    assert verdicts == expected


def test_the_matrix_has_every_rpc_of_both_services() -> None:
    assert [rpc for rpc, *_ in ROWS] == METHODS == list(PREPARED)


async def test_a_refused_role_is_named_and_changes_nothing(casino: Casino, boss: Client) -> None:
    slip = await start(boss)
    cashier = casino.for_role("cashier")

    refusal = await cashier.refusal(
        cashier.slips.CompleteRatingSlip,
        ratingslip_pb2.CompleteRatingSlipRequest(rating_slip_id=slip.rating_slip_id),
    )

    assert refusal.kind == (StatusCode.PERMISSION_DENIED, "ROLE_NOT_PERMITTED")
    assert refusal.metadata["role"] == "cashier"
    assert "CompleteRatingSlip" in refusal.message
    closed = await complete(boss, slip)
    assert not closed.loyalty.is_existing


@pytest.mark.parametrize("role", ["admin", "pit_boss", "cashier", "dealer", "scheduler"])
async def test_the_issuer_of_services_cannot_make_staff(
    role: str, casino: Casino, identity: Identity
) -> None:
    made = casino.with_token(identity.service_token(casino.id, new_id(), role=role))

    refusal = await made.refusal(
        made.points.ListLedgerEntries, loyalty_pb2.ListLedgerEntriesRequest()
    )

    assert refusal.kind == (StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


@pytest.mark.parametrize("role", ["service", "scheduler"])
async def test_the_issuer_of_staff_cannot_make_a_service(
    role: str, casino: Casino, identity: Identity
) -> None:
    act = {"act": {"sub": "ratingslip"}}
    made = casino.with_token(identity.staff_token(role, casino.id, new_id(), claims=act))

    refusal = await made.refusal(
        made.points.AccruePointsFromSlip, loyalty_pb2.AccruePointsFromSlipRequest()
    )

    assert refusal.kind == (StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def complete_slip(casino: Casino) -> ratingslip_pb2.RatingSlip:
    boss = casino.for_role("pit_boss")
    return (await complete(boss, await start(boss))).rating_slip


async def everything_of(
    casino: Casino, ratingslip_sql: Connection, loyalty_sql: Connection
) -> list[str]:
    """Every row of a casino, in both databases."""
    rows = []
    for sql, schema, tables in (
        (ratingslip_sql, "ratingslip", SLIP_TABLES),
        (loyalty_sql, "loyalty", LOYALTY_TABLES),
    ):
        for table in tables:
            found = await sql.fetch(
                f"SELECT t::text AS row FROM {schema}.{table} AS t WHERE casino_id = $1 ORDER BY 1",
                casino.id,
            )
            rows += [record["row"] for record in found]
    return rows


def identifiers(texts: list[str]) -> set[str]:
    """Every UUID in some texts."""
    return {found for text in texts for found in UUID.findall(text)}
