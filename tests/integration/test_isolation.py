"""No casino sees or touches another's data; what is another's looks as if it never was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import (
    Casino,
    complete,
    money,
    new_accrual,
    new_id,
    new_play,
    new_slip,
    read_entries,
    read_events,
    read_slip,
    start,
)
from tests.integration.clients import Client
from tests.integration.identity import Identity
from tests.integration.services import Pair

# Every RPC that is about one slip, as a request about it. A list is not: of another casino's
# slip it is empty.
NAMES_A_SLIP: dict[str, Callable[[str], Message]] = {
    "PauseRatingSlip": lambda slip: ratingslip_pb2.PauseRatingSlipRequest(rating_slip_id=slip),
    "ResumeRatingSlip": lambda slip: ratingslip_pb2.ResumeRatingSlipRequest(rating_slip_id=slip),
    "UpdateAverageBet": lambda slip: ratingslip_pb2.UpdateAverageBetRequest(
        rating_slip_id=slip, average_bet=money(1)
    ),
    "CompleteRatingSlip": lambda slip: ratingslip_pb2.CompleteRatingSlipRequest(
        rating_slip_id=slip
    ),
    "RecoverSlipLoyalty": lambda slip: ratingslip_pb2.RecoverSlipLoyaltyRequest(
        rating_slip_id=slip
    ),
    "PreviewSlipPoints": lambda slip: ratingslip_pb2.PreviewSlipPointsRequest(rating_slip_id=slip),
    "GetRatingSlip": lambda slip: ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=slip),
}


@pytest.fixture
def other_casino(pair: Pair, identity: Identity) -> Casino:
    return Casino(pair, identity)


@pytest.fixture
def stranger(other_casino: Casino) -> Client:
    """An admin, who may do most, of another casino."""
    return other_casino.for_role("admin")


@pytest.mark.parametrize("rpc", NAMES_A_SLIP)
async def test_another_casinos_slip_is_refused_like_one_that_never_was(
    rpc: str, boss: Client, stranger: Client
) -> None:
    method = getattr(stranger.slips, rpc)
    request = NAMES_A_SLIP[rpc]
    never_was = new_id()
    expected = await stranger.refusal(method, request(never_was))
    closed, opened = await start(boss), await start(boss)
    await complete(boss, closed)

    for slip in (closed, opened):
        before = await read_slip(boss, slip.rating_slip_id)

        refusal = await stranger.refusal(method, request(slip.rating_slip_id))

        assert refusal.kind == (StatusCode.NOT_FOUND, "RATING_SLIP_NOT_FOUND")
        assert refusal.resource == ("rating_slip", slip.rating_slip_id)
        assert refusal.text_without(slip.rating_slip_id) == expected.text_without(never_was)
        after = await read_slip(boss, slip.rating_slip_id)
        assert (after.status, after.update_time) == (before.status, before.update_time)


def test_the_table_above_has_every_rpc_that_names_a_slip() -> None:
    service = ratingslip_pb2.DESCRIPTOR.services_by_name["RatingSlipService"]
    naming = {
        method.name
        for method in service.methods
        if "rating_slip_id" in method.input_type.fields_by_name
        and not method.name.startswith("List")
    }
    assert naming == set(NAMES_A_SLIP)


async def test_another_casinos_player_is_refused_like_one_who_never_was(
    boss: Client, stranger: Client
) -> None:
    slip = await start(boss)
    await complete(boss, slip)
    never_was = new_id()
    get = stranger.points.GetPlayerLoyalty

    refusal = await stranger.refusal(
        get, loyalty_pb2.GetPlayerLoyaltyRequest(player_id=slip.player_id)
    )

    expected = await stranger.refusal(get, loyalty_pb2.GetPlayerLoyaltyRequest(player_id=never_was))
    assert refusal.kind == (StatusCode.NOT_FOUND, "PLAYER_NOT_FOUND")
    assert refusal.text_without(slip.player_id) == expected.text_without(never_was)


async def test_lists_show_the_callers_casino_only(boss: Client, stranger: Client) -> None:
    ours, theirs = await start(boss), await start(stranger)
    our_close, their_close = await complete(boss, ours), await complete(stranger, theirs)

    slips = await boss.call(boss.slips.ListRatingSlips, ratingslip_pb2.ListRatingSlipsRequest())
    entries = await read_entries(boss)

    assert [slip.rating_slip_id for slip in slips.rating_slips] == [ours.rating_slip_id]
    assert [entry.entry_id for entry in entries] == [our_close.loyalty.entry_id]
    # Nor does naming something of the other casino bring it in.
    named = ratingslip_pb2.ListRatingSlipsRequest(player_id=theirs.player_id)
    assert not (await boss.call(boss.slips.ListRatingSlips, named)).rating_slips
    for filters in (
        {"player_id": theirs.player_id},
        {"rating_slip_id": theirs.rating_slip_id},
        {"correlation_id": their_close.rating_slip.close_correlation_id},
    ):
        assert await read_entries(boss, **filters) == []
    (their_event, *_) = (await read_events(stranger, rating_slip_id=theirs.rating_slip_id))[-1:]
    assert their_event.trace_id
    for filters in (
        {"rating_slip_id": theirs.rating_slip_id},
        {"correlation_id": their_event.correlation_id},
        {"trace_id": their_event.trace_id},
    ):
        assert await read_events(boss, **filters) == []


async def test_a_page_token_of_another_casino_is_refused(boss: Client, stranger: Client) -> None:
    for _ in range(2):
        await complete(boss, await start(boss))
    slip_page = await boss.call(
        boss.slips.ListRatingSlips, ratingslip_pb2.ListRatingSlipsRequest(page_size=1)
    )
    entry_page = await boss.call(
        boss.points.ListLedgerEntries, loyalty_pb2.ListLedgerEntriesRequest(page_size=1)
    )

    slips_refusal = await stranger.refusal(
        stranger.slips.ListRatingSlips,
        ratingslip_pb2.ListRatingSlipsRequest(page_size=1, page_token=slip_page.next_page_token),
    )
    entries_refusal = await stranger.refusal(
        stranger.points.ListLedgerEntries,
        loyalty_pb2.ListLedgerEntriesRequest(page_size=1, page_token=entry_page.next_page_token),
    )

    assert slip_page.next_page_token
    assert entry_page.next_page_token
    for refusal in (slips_refusal, entries_refusal):
        assert refusal.kind == (StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")


async def test_casinos_do_not_take_keys_visits_or_seats_from_each_other(
    boss: Client, stranger: Client
) -> None:
    request = new_slip(idempotency_key="the-same")

    ours = await boss.call(boss.slips.StartRatingSlip, request)
    theirs = await stranger.call(stranger.slips.StartRatingSlip, request)

    assert not theirs.is_existing
    assert theirs.rating_slip.rating_slip_id != ours.rating_slip.rating_slip_id


async def test_a_slip_of_the_same_id_accrues_in_each_casino_on_its_own(
    casino: Casino, other_casino: Casino
) -> None:
    ours, theirs = casino.for_role("service"), other_casino.for_role("service")
    first = new_accrual()
    second = new_accrual(
        player_id=first.player_id,
        rating_slip_id=first.rating_slip_id,
        play=new_play(duration_seconds=60),
    )

    our_entry = (await ours.call(ours.points.AccruePointsFromSlip, first)).entry
    their_entry = (await theirs.call(theirs.points.AccruePointsFromSlip, second)).entry

    assert their_entry.entry_id != our_entry.entry_id
    assert (their_entry.entry_number, their_entry.balance_before) == (1, 0)
    assert await read_entries(ours, player_id=first.player_id) == [our_entry]
