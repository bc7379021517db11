"""An auditor verifies a ledger: every break is named, and a large one is read page by page."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from tests.database.verifying import fill
from tests.databases import Connection
from tests.integration.casino import (
    Casino,
    complete,
    new_id,
    new_promotion,
    new_redemption,
    new_reversal,
    new_reward,
    start,
)
from tests.integration.clients import Client
from tests.integration.identity import Identity
from tests.integration.patience import PATIENCE_SECONDS
from tests.integration.services import Pair

INVALID_PAGE_TOKEN = (StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
MOST_BREAKS = 100
# A ledger that takes any machine longer than this to verify; a slow one gets more time.
LARGE_LEDGER = 15_000
SHORT_DEADLINE_SECONDS = 0.15


@pytest.fixture
def auditor(casino: Casino) -> Client:
    return casino.for_role("admin")


async def verify(
    auditor: Client,
    page_token: str = "",
    *,
    player_id: str = "",
    deadline_seconds: float = PATIENCE_SECONDS,
) -> loyalty_pb2.VerifyLedgerResponse:
    request = loyalty_pb2.VerifyLedgerRequest(player_id=player_id, page_token=page_token)
    return await auditor.call(
        auditor.points.VerifyLedger, request, deadline_seconds=deadline_seconds
    )


async def verify_in_pieces(auditor: Client) -> list[loyalty_pb2.VerifyLedgerResponse]:
    """Every page, each within the shortest deadline that this machine can answer in."""
    deadline_seconds = SHORT_DEADLINE_SECONDS
    pages: list[loyalty_pb2.VerifyLedgerResponse] = []
    while not pages or pages[-1].next_page_token:
        token = pages[-1].next_page_token if pages else ""
        try:
            pages.append(await verify(auditor, token, deadline_seconds=deadline_seconds))
        except grpc.aio.AioRpcError as error:
            assert error.code() is StatusCode.DEADLINE_EXCEEDED
            assert deadline_seconds < PATIENCE_SECONDS
            deadline_seconds *= 2
    return pages


async def test_a_ledger_of_every_kind_of_entry_verifies(casino: Casino, auditor: Client) -> None:
    boss = casino.for_role("pit_boss")
    paid = await complete(boss, await start(boss))
    player_id = paid.rating_slip.player_id
    reward = await auditor.call(
        auditor.points.IssueManualReward, new_reward(player_id=player_id, points=-5)
    )
    others: list[tuple[Any, Any]] = [
        (auditor.points.ApplyPromotion, new_promotion(player_id=player_id)),
        (auditor.points.RedeemPoints, new_redemption(player_id=player_id)),
        (auditor.points.ReverseEntry, new_reversal(reward.entry.entry_id)),
        (auditor.points.IssueManualReward, new_reward()),
    ]
    for method, request in others:
        await auditor.call(method, request)

    whole = await verify(auditor)
    one = await verify(auditor, player_id=player_id)

    assert whole == loyalty_pb2.VerifyLedgerResponse(entries_verified=6, players_verified=2)
    assert one == loyalty_pb2.VerifyLedgerResponse(entries_verified=5, players_verified=1)


async def test_a_player_or_casino_without_entries_has_nothing_to_verify(auditor: Client) -> None:
    nothing = loyalty_pb2.VerifyLedgerResponse()

    assert await verify(auditor) == nothing
    assert await verify(auditor, player_id=new_id()) == nothing


async def test_a_break_is_named_by_player_number_entry_and_fault(
    casino: Casino, auditor: Client, loyalty_sql: Connection, pair: Pair
) -> None:
    edited, truncated, intact = sorted(
        await fill(loyalty_sql, uuid.UUID(casino.id), players=3, entries_each=5)
    )
    edited_entry = await loyalty_sql.fetchval(
        "UPDATE loyalty.loyalty_ledger SET note = 'somebody else''s'"
        " WHERE casino_id = $1 AND player_id = $2 AND entry_number = 3 RETURNING id",
        casino.id,
        edited,
    )
    await loyalty_sql.execute(
        "DELETE FROM loyalty.loyalty_ledger"
        " WHERE casino_id = $1 AND player_id = $2 AND entry_number > 3",
        casino.id,
        truncated,
    )

    answer = await auditor.call(
        auditor.points.VerifyLedger,
        loyalty_pb2.VerifyLedgerRequest(),
        correlation_id=f"audit-of-{casino.id}",
    )

    assert list(answer.breaks) == [
        loyalty_pb2.ChainBreak(
            player_id=str(edited),
            entry_number=3,
            entry_id=str(edited_entry),
            fault=loyalty_pb2.CHAIN_FAULT_CONTENT,
        ),
        loyalty_pb2.ChainBreak(
            player_id=str(truncated), entry_number=4, fault=loyalty_pb2.CHAIN_FAULT_MISSING
        ),
    ]
    assert answer.players_verified == 1
    assert (await verify(auditor, player_id=str(intact))).entries_verified == 5
    # Whoever watches the logs learns of it too, under the call's correlation ID.
    logged = [
        (event["player_id"], event["entry_number"], event["fault"])
        for event in pair.loyalty.log.events("chain_broken", correlation_id=f"audit-of-{casino.id}")
    ]
    assert logged == [
        (str(edited), 3, "CHAIN_FAULT_CONTENT"),
        (str(truncated), 4, "CHAIN_FAULT_MISSING"),
    ]


async def test_another_casinos_breaks_are_nobody_elses_business(
    pair: Pair, identity: Identity, casino: Casino, auditor: Client, loyalty_sql: Connection
) -> None:
    (player_id,) = await fill(loyalty_sql, uuid.UUID(casino.id), players=1, entries_each=2)
    await loyalty_sql.execute("DELETE FROM loyalty.loyalty_ledger WHERE casino_id = $1", casino.id)
    stranger = Casino(pair, identity).for_role("admin")

    assert len((await verify(auditor)).breaks) == 1
    nothing = loyalty_pb2.VerifyLedgerResponse()
    assert await verify(stranger) == nothing
    assert await verify(stranger, player_id=str(player_id)) == nothing


async def test_with_little_time_a_large_ledger_is_verified_page_by_page(
    casino: Casino, auditor: Client, loyalty_sql: Connection
) -> None:
    await fill(loyalty_sql, uuid.UUID(casino.id), players=3, entries_each=LARGE_LEDGER // 3)

    pages = await verify_in_pieces(auditor)

    assert len(pages) > 1
    assert sum(page.entries_verified for page in pages) == LARGE_LEDGER
    assert sum(page.players_verified for page in pages) == 3
    assert not any(page.breaks for page in pages)


async def test_a_hundred_breaks_make_a_page_whose_token_is_good_for_its_own_question_only(
    pair: Pair, identity: Identity, casino: Casino, auditor: Client, loyalty_sql: Connection
) -> None:
    players = await fill(loyalty_sql, uuid.UUID(casino.id), players=MOST_BREAKS + 1, entries_each=1)
    await loyalty_sql.execute("DELETE FROM loyalty.loyalty_ledger WHERE casino_id = $1", casino.id)

    first = await verify(auditor)
    token = first.next_page_token
    second = await verify(auditor, token)

    found = [each.player_id for page in (first, second) for each in page.breaks]
    assert found == [str(player_id) for player_id in players]
    assert (len(first.breaks), second.next_page_token) == (MOST_BREAKS, "")
    stranger = Casino(pair, identity).for_role("admin")
    for client, player_id, bad in (
        (auditor, "", token[:-4]),
        (auditor, "", "forged"),
        (auditor, str(players[0]), token),
        (stranger, "", token),
    ):
        request = loyalty_pb2.VerifyLedgerRequest(player_id=player_id, page_token=bad)
        refusal = await client.refusal(client.points.VerifyLedger, request)
        assert refusal.kind == INVALID_PAGE_TOKEN
    foreign = await list_token(auditor, casino)
    request = loyalty_pb2.VerifyLedgerRequest(page_token=foreign)
    assert (await auditor.refusal(auditor.points.VerifyLedger, request)).kind == INVALID_PAGE_TOKEN


async def list_token(auditor: Client, casino: Casino) -> str:
    """A good token of another RPC."""
    for _ in range(2):
        await auditor.call(auditor.points.IssueManualReward, new_reward())
    answer = await auditor.call(
        auditor.points.ListLedgerEntries, loyalty_pb2.ListLedgerEntriesRequest(page_size=1)
    )
    return answer.next_page_token
