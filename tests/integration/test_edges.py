"""Numbers and text at the edge: taken as they are or refused in clear words, never half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from tests.integration.casino import (
    Casino,
    new_accrual,
    new_id,
    new_play,
    new_promotion,
    new_redemption,
    new_reversal,
    new_reward,
    read_entries,
)
from tests.integration.clients import Client, read_refusal
from tests.integration.requests import PREPARED, prepared

LARGEST = 2**63 - 1
LARGEST_MESSAGE_BYTES = 256 * 1024
SMALLEST = -(2**63)
OUT_OF_RANGE = (StatusCode.OUT_OF_RANGE, "POINTS_OUT_OF_RANGE")
# What a caller may be told of a request with a strange number or text in it.
CLEAR = {
    StatusCode.INVALID_ARGUMENT,
    StatusCode.OUT_OF_RANGE,
    StatusCode.NOT_FOUND,
    StatusCode.ALREADY_EXISTS,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.ABORTED,
}
NUMBERS = {
    FieldDescriptor.TYPE_INT32: (0, -1, 2**31 - 1, -(2**31)),
    FieldDescriptor.TYPE_INT64: (0, -1, LARGEST, SMALLEST),
}
TEXTS = (
    "\0",
    "nothing\0more",
    "\U0001f600",
    "\u202eturned round",
    "שלום",
    "a\nb",
    "'; --",
    "%s {x} \\",
    "x" * 9999,
)
LONG_TEXTS: dict[str, Callable[[str], Any]] = {
    "IssueManualReward": lambda text: new_reward(reason=text),
    "RedeemPoints": lambda text: new_redemption(note=text),
    "ReverseEntry": lambda text: new_reversal(new_id(), reason=text),
}


def caller_of(rpc: str, casino: Casino) -> tuple[Client, Any]:
    """Somebody who may call an RPC, whom no limit has counted yet, and its method."""
    client = casino.somebody("service" if rpc == "AccruePointsFromSlip" else "admin")
    return client, getattr(client.slips if hasattr(client.slips, rpc) else client.points, rpc)


def leaves(descriptor: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all numbers and texts of a message; a time's or an amount's own, too."""
    found = []
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated:
            found += leaves(field.message_type, (*path, field.name))
        elif field.type in {*NUMBERS, FieldDescriptor.TYPE_STRING}:
            found.append((*path, field.name))
    return found


def strange_values(request: Message, path: tuple[str, ...]) -> tuple[object, ...]:
    descriptor: Any = request.DESCRIPTOR
    for name in path[:-1]:
        descriptor = descriptor.fields_by_name[name].message_type
    return NUMBERS.get(descriptor.fields_by_name[path[-1]].type, TEXTS)


def with_value(request: Message, path: tuple[str, ...], value: object) -> Message:
    """The request with one value changed."""
    changed = type(request)()
    changed.CopyFrom(request)
    target: Any = changed
    for name in path[:-1]:
        target = getattr(target, name)
    setattr(target, path[-1], value)
    return changed


@pytest.mark.parametrize("rpc", PREPARED)
async def test_a_strange_number_or_text_in_any_field_is_done_or_refused_in_clear_words(
    rpc: str, casino: Casino
) -> None:
    good = await prepared(rpc, casino)
    unclear = {}
    for path in leaves(good.DESCRIPTOR):
        for value in strange_values(good, path):
            client, method = caller_of(rpc, casino)
            try:
                await client.call(method, with_value(good, path, value))
            except grpc.aio.AioRpcError as error:
                refusal = read_refusal(error)
                if refusal.code not in CLEAR:
                    unclear[path, value] = refusal

    assert unclear == {}


async def standing(client: Client, player_id: str) -> tuple[int, int, int]:
    request = loyalty_pb2.GetPlayerLoyaltyRequest(player_id=player_id)
    player = (await client.call(client.points.GetPlayerLoyalty, request)).player_loyalty
    return player.current_balance, player.lifetime_points, player.entry_count


async def test_a_balance_that_would_not_fit_is_refused_and_nothing_is_written(
    casino: Casino,
) -> None:
    admin, service = casino.somebody("admin"), casino.for_role("service")
    player_id = (await admin.call(admin.points.IssueManualReward, new_reward())).entry.player_id
    filled = new_reward(player_id=player_id, points=LARGEST - 100)
    first = await admin.call(admin.points.IssueManualReward, filled)
    assert first.entry.balance_after == first.lifetime_points == LARGEST
    before = await standing(admin, player_id)

    refusals = [
        await admin.refusal(
            admin.points.IssueManualReward, new_reward(player_id=player_id, points=1)
        ),
        await admin.refusal(
            admin.points.ApplyPromotion, new_promotion(player_id=player_id, bonus_points=1)
        ),
        await service.refusal(
            service.points.AccruePointsFromSlip, new_accrual(player_id=player_id)
        ),
    ]

    assert [refusal.kind for refusal in refusals] == [OUT_OF_RANGE] * len(refusals)
    assert await standing(admin, player_id) == before
    assert len(await read_entries(admin, player_id=player_id)) == before[2]


async def test_a_balance_may_fall_to_the_least_that_fits_and_no_further(casino: Casino) -> None:
    admin = casino.somebody("admin")
    player_id = (await admin.call(admin.points.IssueManualReward, new_reward())).entry.player_id
    fall = new_reward(player_id=player_id, points=-LARGEST)
    entry = (await admin.call(admin.points.IssueManualReward, fall)).entry
    assert entry.balance_after == 100 - LARGEST
    before = await standing(admin, player_id)

    further = new_reward(player_id=player_id, points=-LARGEST, reason="Once more, and further")
    refusal = await admin.refusal(admin.points.IssueManualReward, further)
    redemption = new_redemption(player_id=player_id, points=LARGEST, allow_overdraw=True)
    overdraw = await admin.refusal(admin.points.RedeemPoints, redemption)

    assert refusal.kind == OUT_OF_RANGE
    assert overdraw.kind == (StatusCode.FAILED_PRECONDITION, "OVERDRAW_EXCEEDS_CAP")
    assert await standing(admin, player_id) == before
    # What was taken can be given back.
    undone = await admin.call(admin.points.ReverseEntry, new_reversal(entry.entry_id))
    assert undone.entry.balance_after == 100


async def test_points_of_a_play_that_would_not_fit_are_refused_by_suggestion_and_accrual(
    boss: Client, casino: Casino
) -> None:
    service = casino.for_role("service")
    # In SILVER the longest play at the highest bet is worth more than 2^63 points.
    silver = await boss.call(boss.points.IssueManualReward, new_reward(points=1000))
    player_id = silver.entry.player_id
    play = new_play(
        decisions_per_hour=10_000,
        house_edge_percent="100",
        point_multiplier="1000",
        duration_seconds=366 * 86_400,
    )
    play.average_bet.units = 10_000_000
    play.end_time.seconds = play.start_time.seconds + play.duration_seconds
    before = await standing(boss, player_id)

    suggested = await boss.refusal(
        boss.points.SuggestPoints,
        loyalty_pb2.SuggestPointsRequest(player_id=player_id, play=play),
    )
    accrued = await service.refusal(
        service.points.AccruePointsFromSlip, new_accrual(player_id=player_id, play=play)
    )

    assert suggested.kind == accrued.kind == OUT_OF_RANGE
    assert await standing(boss, player_id) == before


# Text that people write, in every script.
GOOD_NOTES = (
    "Ein Glas für den Gast, 2 × Café",
    "مكافأة على الانتظار الطويل",
    "הטבה על המתנה ארוכה",
    "می‌خواهم امتیاز بدهم",
    "Birthday 🎂 of the 👨‍👩‍👧 family",
    "𝒢𝓊𝑒𝓈𝓉 of the 𠮷野 house",
    '"quoted" \\ and $1; -- %s {x}',
    "n" * 500,
)


@pytest.mark.parametrize("note", GOOD_NOTES)
async def test_notes_come_back_as_they_were_written(note: str, casino: Casino) -> None:
    admin = casino.somebody("admin")
    written = await admin.call(
        admin.points.IssueManualReward, new_reward(reason=f"  {note}\u2003 ")
    )
    reversal = new_reversal(written.entry.entry_id, reason=note)
    reversed_ = await admin.call(admin.points.ReverseEntry, reversal)

    listed = await read_entries(admin, player_id=written.entry.player_id)

    assert [entry.note for entry in listed] == [note, note]
    assert listed == [reversed_.entry, written.entry]


@pytest.mark.parametrize("rpc", LONG_TEXTS)
async def test_five_megabytes_of_text_are_not_read(rpc: str, casino: Casino) -> None:
    client, method = caller_of(rpc, casino)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.call(method, LONG_TEXTS[rpc]("n" * 5_000_000))

    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("rpc", ["ListRatingSlips", "ListLedgerEntries"])
async def test_a_message_beyond_the_limit_is_not_read(rpc: str, casino: Casino) -> None:
    client, method = caller_of(rpc, casino)
    for length, code in (
        (LARGEST_MESSAGE_BYTES - 100, StatusCode.INVALID_ARGUMENT),
        (LARGEST_MESSAGE_BYTES + 1, StatusCode.RESOURCE_EXHAUSTED),
    ):
        request: Any = await prepared(rpc, casino)
        request.page_token = "t" * length

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.call(method, request)

        assert caught.value.code() is code
