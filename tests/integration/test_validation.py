"""Every bad field is INVALID_ARGUMENT, named by its path; nothing else about the request counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message
from grpc import StatusCode

from casino.loyalty.v1 import loyalty_pb2
from casino.ratingslip.v1 import ratingslip_pb2
from tests.integration.casino import (
    HOUR,
    MINUTE,
    Casino,
    ago,
    money,
    new_accrual,
    new_id,
    new_slip,
    start,
    timestamp,
)
from tests.integration.clients import Client

INVALID = (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
LARGEST_MESSAGE_BYTES = 256 * 1024
# Takes a field out of a request.
ABSENT = object()

# A good request of each RPC, about a slip or player that never was.
GOOD: dict[str, Callable[[], Message]] = {
    "StartRatingSlip": new_slip,
    "PauseRatingSlip": lambda: ratingslip_pb2.PauseRatingSlipRequest(
        rating_slip_id=new_id(), event_time=timestamp(ago(MINUTE)), idempotency_key="key"
    ),
    "ResumeRatingSlip": lambda: ratingslip_pb2.ResumeRatingSlipRequest(
        rating_slip_id=new_id(), event_time=timestamp(ago(MINUTE)), idempotency_key="key"
    ),
    "UpdateAverageBet": lambda: ratingslip_pb2.UpdateAverageBetRequest(
        rating_slip_id=new_id(),
        average_bet=money(75),
        event_time=timestamp(ago(MINUTE)),
        idempotency_key="key",
    ),
    "CompleteRatingSlip": lambda: ratingslip_pb2.CompleteRatingSlipRequest(
        rating_slip_id=new_id(),
        end_time=timestamp(ago(MINUTE)),
        average_bet=money(75),
        chips_taken=money(500),
    ),
    "RecoverSlipLoyalty": lambda: ratingslip_pb2.RecoverSlipLoyaltyRequest(rating_slip_id=new_id()),
    "GetRatingSlip": lambda: ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=new_id()),
    "ListRatingSlips": ratingslip_pb2.ListRatingSlipsRequest,
    "AccruePointsFromSlip": new_accrual,
    "GetPlayerLoyalty": lambda: loyalty_pb2.GetPlayerLoyaltyRequest(player_id=new_id()),
    "ListLedgerEntries": loyalty_pb2.ListLedgerEntriesRequest,
}
BAD_IDS = ("0f8fad5b", "0f8fad5bd9cb469fa16570867728950e", "{0f8fad5b-d9cb-469f-a165-70867728950e}")
BAD_KEYS = ("k" * 129, "two words", "ключ", "tab\t")
BAD_DECIMALS = ("", "-1", "+1", "1e2", "1,5", ".5", "5.", "1.23456", "NaN", "٣", " 1")
BAD_CURRENCIES = ("", "usd", "US", "USDX", "U$D", "ÉUR")
BEFORE_1970 = timestamp_pb2.Timestamp(seconds=-1)
AFTER_9999 = timestamp_pb2.Timestamp(seconds=253_402_300_800)
NO_TIME = timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=-1)
BAD_TIMES = (BEFORE_1970, AFTER_9999, NO_TIME)


@dataclasses.dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a request."""

    rpc: str
    path: str
    value: object
    # The path of the violation, where it is not that of the field itself.
    named: str = ""

    def __str__(self) -> str:
        value = "absent" if self.value is ABSENT else str(self.value).replace("\n", " ")
        return f"{self.rpc} {self.path}={value[:40]}"


def flaws(rpc: str, path: str, *values: object, named: str = "") -> list[Flaw]:
    return [Flaw(rpc, path, value, named) for value in values]


def bad_money(rpc: str, path: str, most_units: int) -> list[Flaw]:
    return [
        *flaws(rpc, f"{path}.currency_code", *BAD_CURRENCIES),
        *flaws(rpc, f"{path}.units", -1, most_units + 1),
        *flaws(rpc, f"{path}.nanos", -10_000_000, 5_000_000, 1, 1_000_000_000),
        Flaw(rpc, path, money(most_units, 1), named=f"{path}.units"),
    ]


FLAWS = [
    *flaws("StartRatingSlip", "player_id", "", *BAD_IDS),
    *flaws("StartRatingSlip", "visit_id", "", *BAD_IDS),
    *flaws("StartRatingSlip", "table_id", "", *BAD_IDS),
    *flaws("StartRatingSlip", "seat_number", 0, -1, 100),
    *flaws("StartRatingSlip", "average_bet", ABSENT, named="average_bet.currency_code"),
    *bad_money("StartRatingSlip", "average_bet", 10_000_000),
    *flaws("StartRatingSlip", "game_settings.game_name", "", "  ", "n" * 81, "two\nlines"),
    *flaws("StartRatingSlip", "game_settings.house_edge_percent", *BAD_DECIMALS, "100.0001"),
    *flaws("StartRatingSlip", "game_settings.decisions_per_hour", 0, -70, 10_001),
    *flaws("StartRatingSlip", "game_settings.point_multiplier", *BAD_DECIMALS[1:], "1000.1"),
    *flaws("StartRatingSlip", "start_time", *BAD_TIMES),
    *flaws("StartRatingSlip", "idempotency_key", *BAD_KEYS),
    *flaws("PauseRatingSlip", "rating_slip_id", "", *BAD_IDS),
    *flaws("PauseRatingSlip", "event_time", *BAD_TIMES),
    *flaws("PauseRatingSlip", "idempotency_key", *BAD_KEYS),
    *flaws("ResumeRatingSlip", "rating_slip_id", "", *BAD_IDS),
    *flaws("ResumeRatingSlip", "event_time", *BAD_TIMES),
    *flaws("ResumeRatingSlip", "idempotency_key", *BAD_KEYS),
    *flaws("UpdateAverageBet", "rating_slip_id", "", *BAD_IDS),
    *flaws("UpdateAverageBet", "average_bet", ABSENT, named="average_bet.currency_code"),
    *bad_money("UpdateAverageBet", "average_bet", 10_000_000),
    *flaws("UpdateAverageBet", "event_time", *BAD_TIMES),
    *flaws("UpdateAverageBet", "idempotency_key", *BAD_KEYS),
    *flaws("CompleteRatingSlip", "rating_slip_id", "", *BAD_IDS),
    *flaws("CompleteRatingSlip", "end_time", *BAD_TIMES),
    *bad_money("CompleteRatingSlip", "average_bet", 10_000_000),
    *bad_money("CompleteRatingSlip", "chips_taken", 1_000_000_000),
    *flaws("RecoverSlipLoyalty", "rating_slip_id", "", *BAD_IDS),
    *flaws("GetRatingSlip", "rating_slip_id", "", *BAD_IDS),
    *flaws("ListRatingSlips", "page_size", -1),
    *flaws("ListRatingSlips", "status", 4, -1),
    *flaws("ListRatingSlips", "loyalty_state", 5, -1),
    *flaws("ListRatingSlips", "player_id", *BAD_IDS),
    *flaws("ListRatingSlips", "table_id", *BAD_IDS),
    *flaws("ListRatingSlips", "started_from", *BAD_TIMES),
    *flaws("ListRatingSlips", "started_before", *BAD_TIMES),
    *flaws("AccruePointsFromSlip", "player_id", "", *BAD_IDS),
    *flaws("AccruePointsFromSlip", "rating_slip_id", "", *BAD_IDS),
    *flaws("AccruePointsFromSlip", "visit_id", "", *BAD_IDS),
    *bad_money("AccruePointsFromSlip", "play.average_bet", 10_000_000),
    *flaws("AccruePointsFromSlip", "play.house_edge_percent", *BAD_DECIMALS, "100.0001"),
    *flaws("AccruePointsFromSlip", "play.decisions_per_hour", 0, -70, 10_001),
    *flaws("AccruePointsFromSlip", "play.point_multiplier", *BAD_DECIMALS, "1000.1"),
    *flaws("AccruePointsFromSlip", "play.duration_seconds", -1, 366 * 86_400 + 1),
    *flaws("AccruePointsFromSlip", "play.start_time", ABSENT, *BAD_TIMES),
    *flaws("AccruePointsFromSlip", "play.end_time", ABSENT, *BAD_TIMES, timestamp(ago(9 * HOUR))),
    *flaws("AccruePointsFromSlip", "idempotency_key", *BAD_KEYS),
    *flaws("GetPlayerLoyalty", "player_id", "", *BAD_IDS),
    *flaws("ListLedgerEntries", "page_size", -1),
    *flaws("ListLedgerEntries", "player_id", *BAD_IDS),
    *flaws("ListLedgerEntries", "reason", 7, -1),
    *flaws("ListLedgerEntries", "rating_slip_id", *BAD_IDS),
    *flaws("ListLedgerEntries", "visit_id", *BAD_IDS),
    *flaws("ListLedgerEntries", "campaign_id", *BAD_IDS),
    *flaws("ListLedgerEntries", "staff_id", *BAD_IDS),
    *flaws("ListLedgerEntries", "correlation_id", "c" * 129, "a/b", "two words"),
    *flaws("ListLedgerEntries", "recorded_from", *BAD_TIMES),
    *flaws("ListLedgerEntries", "recorded_before", *BAD_TIMES),
]


def flawed(flaw: Flaw) -> Message:
    """The good request with that one thing wrong."""
    request = GOOD[flaw.rpc]()
    target = request
    *parents, field = flaw.path.split(".")
    for parent in parents:
        target = getattr(target, parent)
    if flaw.value is ABSENT:
        target.ClearField(field)
    elif isinstance(flaw.value, Message):
        getattr(target, field).CopyFrom(flaw.value)
    else:
        setattr(target, field, flaw.value)
    return request


def caller_of(rpc: str, casino: Casino) -> tuple[Client, Any]:
    """Somebody who may call an RPC, and its method."""
    client = casino.for_role("service" if rpc == "AccruePointsFromSlip" else "admin")
    return client, getattr(client.slips if hasattr(client.slips, rpc) else client.points, rpc)


@pytest.mark.parametrize("rpc", GOOD)
async def test_every_bad_field_is_named_by_its_path(rpc: str, casino: Casino) -> None:
    client, method = caller_of(rpc, casino)
    unexpected = {}

    for flaw in [flaw for flaw in FLAWS if flaw.rpc == rpc]:
        refusal = await client.refusal(method, flawed(flaw))
        if (refusal.kind, refusal.fields) != (INVALID, (flaw.named or flaw.path,)):
            unexpected[str(flaw)] = refusal

    assert unexpected == {}


@pytest.mark.parametrize("rpc", GOOD)
async def test_the_same_request_without_a_flaw_is_valid(rpc: str, casino: Casino) -> None:
    client, method = caller_of(rpc, casino)

    try:
        await client.call(method, GOOD[rpc]())
    except grpc.aio.AioRpcError as error:
        assert error.code() is StatusCode.NOT_FOUND


@pytest.mark.parametrize("rpc", GOOD)
def test_every_field_of_a_request_is_in_the_table(rpc: str) -> None:
    fields = {field.name for field in GOOD[rpc]().DESCRIPTOR.fields}
    # A page token is judged by its signature; `test_paging.py` has those.
    assert {flaw.path.split(".")[0] for flaw in FLAWS if flaw.rpc == rpc} == fields - {"page_token"}


async def test_several_bad_fields_are_all_named_at_once(boss: Client, casino: Casino) -> None:
    service = casino.for_role("service")

    start_refusal = await boss.refusal(
        boss.slips.StartRatingSlip, ratingslip_pb2.StartRatingSlipRequest()
    )
    accrual_refusal = await service.refusal(
        service.points.AccruePointsFromSlip, loyalty_pb2.AccruePointsFromSlipRequest()
    )

    assert start_refusal.fields == (
        "player_id",
        "visit_id",
        "table_id",
        "seat_number",
        "average_bet.currency_code",
        "game_settings.game_name",
        "game_settings.house_edge_percent",
        "game_settings.decisions_per_hour",
    )
    assert accrual_refusal.fields == (
        "player_id",
        "rating_slip_id",
        "visit_id",
        "play.average_bet.currency_code",
        "play.house_edge_percent",
        "play.decisions_per_hour",
        "play.point_multiplier",
        "play.start_time",
        "play.end_time",
    )
    for field in start_refusal.fields:
        assert field in start_refusal.message


async def test_what_lies_just_within_the_limits_is_accepted(boss: Client) -> None:
    for seat, bet, edge, decisions, multiplier, key in (
        (1, money(0), "0", 1, "0", "!"),
        (99, money(10_000_000), "100", 10_000, "1000", "~" * 128),
        (7, money(0, 1), "1.2345", 70, "", ""),
    ):
        await boss.call(
            boss.slips.StartRatingSlip,
            new_slip(
                seat_number=seat,
                average_bet=bet,
                game_settings=ratingslip_pb2.GameSettings(
                    game_name="n" * 80,
                    house_edge_percent=edge,
                    decisions_per_hour=decisions,
                    point_multiplier=multiplier,
                ),
                start_time=timestamp(ago(48 * HOUR - MINUTE)),
                idempotency_key=key,
            ),
        )


async def test_identifiers_may_be_in_capitals_and_come_back_in_small_letters(boss: Client) -> None:
    slip = await start(boss)
    request = ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=slip.rating_slip_id.upper())

    found = (await boss.call(boss.slips.GetRatingSlip, request)).rating_slip

    assert found.rating_slip_id == slip.rating_slip_id


@pytest.mark.parametrize("rpc", ["ListRatingSlips", "ListLedgerEntries"])
async def test_a_message_beyond_the_limit_is_not_read(rpc: str, casino: Casino) -> None:
    client, method = caller_of(rpc, casino)
    for length, code in (
        (LARGEST_MESSAGE_BYTES - 100, StatusCode.INVALID_ARGUMENT),
        (LARGEST_MESSAGE_BYTES + 1, StatusCode.RESOURCE_EXHAUSTED),
    ):
        request: Any = GOOD[rpc]()
        request.page_token = "t" * length

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.call(method, request)

        assert caught.value.code() is code
