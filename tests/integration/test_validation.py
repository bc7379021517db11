"""Every bad field is INVALID_ARGUMENT, named by its path; nothing else about the request counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message
from google.type import timeofday_pb2
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
    new_play,
    new_promotion,
    new_redemption,
    new_reversal,
    new_reward,
    new_slip,
    start,
    timestamp,
)
from tests.integration.clients import Client
from tests.integration.requests import new_terms

INVALID = (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
# Takes a field out of a request.
ABSENT = object()


def new_program() -> loyalty_pb2.UpdateLoyaltyProgramRequest:
    """A first program, with a ladder of two tiers."""
    terms = new_terms()
    terms.tiers.add(name="RED_2", lifetime_start=100, multiplier="1.5")
    in_an_hour = timestamp(ago(-HOUR))
    return loyalty_pb2.UpdateLoyaltyProgramRequest(terms=terms, effective_time=in_an_hour)


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
    "PreviewSlipPoints": lambda: ratingslip_pb2.PreviewSlipPointsRequest(
        rating_slip_id=new_id(), end_time=timestamp(ago(MINUTE)), average_bet=money(75)
    ),
    "GetRatingSlip": lambda: ratingslip_pb2.GetRatingSlipRequest(rating_slip_id=new_id()),
    "ListRatingSlips": ratingslip_pb2.ListRatingSlipsRequest,
    "ListSlipEvents": lambda: ratingslip_pb2.ListSlipEventsRequest(rating_slip_id=new_id()),
    "AccruePointsFromSlip": new_accrual,
    "IssueManualReward": new_reward,
    "RedeemPoints": new_redemption,
    "ApplyPromotion": lambda: new_promotion(rating_slip_id=new_id()),
    "ReverseEntry": lambda: new_reversal(new_id()),
    "SuggestPoints": lambda: loyalty_pb2.SuggestPointsRequest(player_id=new_id(), play=new_play()),
    "GetPlayerLoyalty": lambda: loyalty_pb2.GetPlayerLoyaltyRequest(player_id=new_id()),
    "ListLedgerEntries": loyalty_pb2.ListLedgerEntriesRequest,
    "CheckBalanceDrift": loyalty_pb2.CheckBalanceDriftRequest,
    "ReconcileBalance": lambda: loyalty_pb2.ReconcileBalanceRequest(
        player_id=new_id(), reason="The auditor asked for it"
    ),
    "VerifyLedger": loyalty_pb2.VerifyLedgerRequest,
    "GetLoyaltyProgram": loyalty_pb2.GetLoyaltyProgramRequest,
    "UpdateLoyaltyProgram": new_program,
}
BAD_IDS = ("0f8fad5b", "0f8fad5bd9cb469fa16570867728950e", "{0f8fad5b-d9cb-469f-a165-70867728950e}")
BAD_KEYS = ("k" * 129, "two words", "ключ", "tab\t")
BAD_DECIMALS = ("", "-1", "+1", "1e2", "1,5", ".5", "5.", "1.23456", "NaN", "٣", " 1")
BAD_CURRENCIES = ("", "usd", "US", "USDX", "U$D", "ÉUR")
BEFORE_1970 = timestamp_pb2.Timestamp(seconds=-1)
AFTER_9999 = timestamp_pb2.Timestamp(seconds=253_402_300_800)
NO_TIME = timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=-1)
BAD_NOTES = (
    "n" * 501,
    "a line, and\nanother",
    "nothing\0more",
    "turned \u202e round",
    "half \ue000 private",
)
LEAST_NUMBER = -(2**63)
BAD_TIMES = (BEFORE_1970, AFTER_9999, NO_TIME)
BAD_TIME_ZONES = ("", "  ", "Mars/Olympus_Mons", "europe/vienna", "CEST", "XYZ-3", "z" * 65)
BAD_DAY_STARTS = (
    timeofday_pb2.TimeOfDay(hours=24),
    timeofday_pb2.TimeOfDay(hours=-1),
    timeofday_pb2.TimeOfDay(hours=6, minutes=60),
    timeofday_pb2.TimeOfDay(hours=6, minutes=-1),
    timeofday_pb2.TimeOfDay(hours=6, seconds=1),
    timeofday_pb2.TimeOfDay(hours=6, nanos=1),
)
TOO_MANY_TIERS = [
    loyalty_pb2.ProgramTier(name=f"TIER_{start}", lifetime_start=start, multiplier="1")
    for start in range(21)
]


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


def bad_play(rpc: str) -> list[Flaw]:
    return [
        *bad_money(rpc, "play.average_bet", 10_000_000),
        *flaws(rpc, "play.house_edge_percent", *BAD_DECIMALS, "100.0001"),
        *flaws(rpc, "play.decisions_per_hour", 0, -70, 10_001),
        *flaws(rpc, "play.point_multiplier", *BAD_DECIMALS, "1000.1"),
        *flaws(rpc, "play.duration_seconds", -1, 366 * 86_400 + 1),
        *flaws(rpc, "play.start_time", ABSENT, *BAD_TIMES),
        *flaws(rpc, "play.end_time", ABSENT, *BAD_TIMES, timestamp(ago(9 * HOUR))),
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
    *flaws("PreviewSlipPoints", "rating_slip_id", "", *BAD_IDS),
    *flaws("PreviewSlipPoints", "end_time", *BAD_TIMES),
    *bad_money("PreviewSlipPoints", "average_bet", 10_000_000),
    *flaws("GetRatingSlip", "rating_slip_id", "", *BAD_IDS),
    *flaws("ListRatingSlips", "page_size", -1),
    *flaws("ListRatingSlips", "status", 4, -1),
    *flaws("ListRatingSlips", "loyalty_state", 5, -1),
    *flaws("ListRatingSlips", "player_id", *BAD_IDS),
    *flaws("ListRatingSlips", "table_id", *BAD_IDS),
    *flaws("ListRatingSlips", "started_from", *BAD_TIMES),
    *flaws("ListRatingSlips", "started_before", *BAD_TIMES),
    *flaws("ListSlipEvents", "page_size", -1),
    *flaws("ListSlipEvents", "rating_slip_id", "", *BAD_IDS),
    *flaws("ListSlipEvents", "correlation_id", "c" * 129, "a/b", "two words"),
    *flaws("ListSlipEvents", "trace_id", "0" * 31, "0" * 33, "A" * 32, "g" * 32),
    *flaws("AccruePointsFromSlip", "player_id", "", *BAD_IDS),
    *flaws("AccruePointsFromSlip", "rating_slip_id", "", *BAD_IDS),
    *flaws("AccruePointsFromSlip", "visit_id", "", *BAD_IDS),
    *bad_play("AccruePointsFromSlip"),
    *flaws("AccruePointsFromSlip", "idempotency_key", *BAD_KEYS),
    *flaws("IssueManualReward", "player_id", "", *BAD_IDS),
    *flaws("IssueManualReward", "points", 0, LEAST_NUMBER),
    *flaws("IssueManualReward", "reason", "", " " * 20, "too short", *BAD_NOTES),
    *flaws("IssueManualReward", "rating_slip_id", *BAD_IDS),
    *flaws("IssueManualReward", "visit_id", *BAD_IDS),
    *flaws("IssueManualReward", "reward_id", *BAD_IDS),
    *flaws("IssueManualReward", "idempotency_key", *BAD_KEYS),
    *flaws("RedeemPoints", "player_id", "", *BAD_IDS),
    *flaws("RedeemPoints", "points", 0, -1, LEAST_NUMBER),
    *flaws("RedeemPoints", "note", "", "  ", *BAD_NOTES),
    *flaws("RedeemPoints", "reward_id", *BAD_IDS),
    *flaws("RedeemPoints", "campaign_id", *BAD_IDS),
    *flaws("RedeemPoints", "visit_id", *BAD_IDS),
    *flaws("RedeemPoints", "idempotency_key", "", *BAD_KEYS),
    *flaws("ApplyPromotion", "player_id", "", *BAD_IDS),
    *flaws("ApplyPromotion", "campaign_id", "", *BAD_IDS),
    *flaws("ApplyPromotion", "rating_slip_id", *BAD_IDS),
    *flaws("ApplyPromotion", "visit_id", *BAD_IDS),
    *flaws("ApplyPromotion", "bonus_points", 0, -1, LEAST_NUMBER),
    *flaws("ApplyPromotion", "bonus_points", ABSENT, named="award"),
    *flaws("ApplyPromotion", "multiplier", *BAD_DECIMALS, "0", "1", "100.0001"),
    *flaws("ApplyPromotion", "note", *BAD_NOTES),
    *flaws("ApplyPromotion", "idempotency_key", *BAD_KEYS),
    *flaws("ReverseEntry", "entry_id", "", *BAD_IDS),
    *flaws("ReverseEntry", "reason", "", " " * 20, "too short", *BAD_NOTES),
    *flaws("ReverseEntry", "idempotency_key", *BAD_KEYS),
    *flaws("SuggestPoints", "player_id", "", *BAD_IDS),
    *flaws("SuggestPoints", "rating_slip_id", *BAD_IDS),
    *bad_play("SuggestPoints"),
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
    *flaws("CheckBalanceDrift", "player_id", *BAD_IDS),
    *flaws("ReconcileBalance", "player_id", "", *BAD_IDS),
    *flaws("ReconcileBalance", "reason", "", " " * 20, "too short", *BAD_NOTES),
    *flaws("VerifyLedger", "player_id", *BAD_IDS),
    *flaws("GetLoyaltyProgram", "time", *BAD_TIMES),
    *flaws("UpdateLoyaltyProgram", "base_version", -1, 2**31 - 1),
    *flaws("UpdateLoyaltyProgram", "terms", ABSENT),
    *flaws("UpdateLoyaltyProgram", "terms.points_per_unit", *BAD_DECIMALS, "100000.0001"),
    *flaws("UpdateLoyaltyProgram", "terms.rounding", 0, 4, -1),
    *flaws("UpdateLoyaltyProgram", "terms.tiers", ABSENT, TOO_MANY_TIERS),
    *flaws("UpdateLoyaltyProgram", "terms.tiers[0].name", "", "blue", "BLAU ", "N" * 33, "ÄH"),
    *flaws("UpdateLoyaltyProgram", "terms.tiers[1].name", "BLUE"),
    *flaws("UpdateLoyaltyProgram", "terms.tiers[0].lifetime_start", 1, -1),
    *flaws("UpdateLoyaltyProgram", "terms.tiers[1].lifetime_start", 0, -1, LEAST_NUMBER),
    *flaws("UpdateLoyaltyProgram", "terms.tiers[1].multiplier", *BAD_DECIMALS, "1000.0001"),
    *flaws("UpdateLoyaltyProgram", "terms.overdraw_floor", 1, LEAST_NUMBER),
    *flaws("UpdateLoyaltyProgram", "terms.time_zone", *BAD_TIME_ZONES),
    *flaws("UpdateLoyaltyProgram", "terms.gaming_day_start", ABSENT, *BAD_DAY_STARTS),
    *flaws("UpdateLoyaltyProgram", "effective_time", *BAD_TIMES),
]


def flawed(flaw: Flaw) -> Message:
    """The good request with that one thing wrong."""
    request = GOOD[flaw.rpc]()
    target: Any = request
    *parents, field = flaw.path.split(".")
    for parent in parents:
        # `tiers[1]` is one of several.
        name, _, index = parent.rstrip("]").partition("[")
        target = getattr(target, name)[int(index)] if index else getattr(target, name)
    if flaw.value is ABSENT:
        target.ClearField(field)
    elif isinstance(flaw.value, list):
        target.ClearField(field)
        getattr(target, field).extend(flaw.value)
    elif isinstance(flaw.value, Message):
        getattr(target, field).CopyFrom(flaw.value)
    else:
        setattr(target, field, flaw.value)
    return request


def caller_of(rpc: str, casino: Casino) -> tuple[Client, Any]:
    """Somebody who may call an RPC, whom no limit has counted yet, and its method."""
    client = casino.somebody("service" if rpc == "AccruePointsFromSlip" else "admin")
    return client, getattr(client.slips if hasattr(client.slips, rpc) else client.points, rpc)


@pytest.mark.parametrize("rpc", GOOD)
async def test_every_bad_field_is_named_by_its_path(rpc: str, casino: Casino) -> None:
    unexpected = {}

    for flaw in [flaw for flaw in FLAWS if flaw.rpc == rpc]:
        client, method = caller_of(rpc, casino)
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
    # A page token is judged by its signature, which `test_paging.py` has; yes and no are
    # both good.
    without_flaws = {"page_token", "allow_overdraw"}
    assert {flaw.path.split(".")[0] for flaw in FLAWS if flaw.rpc == rpc} == fields - without_flaws


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
