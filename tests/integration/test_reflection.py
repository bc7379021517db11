"""The services describe themselves: `buf curl` lists and calls them by reflection."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.integration.casino import Casino, new_id
from tests.integration.patience import PATIENCE_SECONDS
from tests.integration.services import Pair, ServiceProcess

BUF = Path(sys.executable).with_name("buf")
RATINGSLIP = "casino.ratingslip.v1.RatingSlipService"
LOYALTY = "casino.loyalty.v1.LoyaltyService"
METHODS = {
    RATINGSLIP: {
        "StartRatingSlip",
        "PauseRatingSlip",
        "ResumeRatingSlip",
        "UpdateAverageBet",
        "CompleteRatingSlip",
        "RecoverSlipLoyalty",
        "GetRatingSlip",
        "ListRatingSlips",
        "ListSlipEvents",
    },
    LOYALTY: {"AccruePointsFromSlip", "GetPlayerLoyalty", "ListLedgerEntries"},
}


async def buf_curl(service: ServiceProcess, path: str, *options: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `buf curl`, as an operator would type it."""
    process = await asyncio.create_subprocess_exec(
        BUF,
        *("curl", "--protocol", "grpc", "--http2-prior-knowledge", *options),
        f"http://{service.address}{path}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize("name", [RATINGSLIP, LOYALTY])
async def test_a_service_lists_itself_without_a_token(name: str, pair: Pair) -> None:
    service = pair.ratingslip if name == RATINGSLIP else pair.loyalty

    _, services, _ = await buf_curl(service, "", "--list-services")
    _, methods, _ = await buf_curl(service, "", "--list-methods")

    assert {name, "grpc.health.v1.Health"} <= set(services.split())
    assert {f"{name}/{method}" for method in METHODS[name]} <= set(methods.split())


async def test_a_whole_slip_can_be_written_by_hand(casino: Casino, pair: Pair) -> None:
    header = ("--header", f"authorization: Bearer {casino.token('pit_boss')}")
    new_slip = {
        "playerId": new_id(),
        "visitId": new_id(),
        "tableId": new_id(),
        "seatNumber": 4,
        "averageBet": {"currencyCode": "USD", "units": "50"},
        "gameSettings": {
            "gameName": "Blackjack",
            "houseEdgePercent": "1.5",
            "decisionsPerHour": 70,
        },
    }

    code, started, errors = await buf_curl(
        pair.ratingslip, f"/{RATINGSLIP}/StartRatingSlip", *header, "--data", json.dumps(new_slip)
    )
    assert code == 0, errors
    named = {"ratingSlipId": json.loads(started)["ratingSlip"]["ratingSlipId"]}
    code, completed, errors = await buf_curl(
        pair.ratingslip, f"/{RATINGSLIP}/CompleteRatingSlip", *header, "--data", json.dumps(named)
    )
    assert code == 0, errors
    code, listed, errors = await buf_curl(
        pair.loyalty, f"/{LOYALTY}/ListLedgerEntries", *header, "--data", json.dumps(named)
    )
    assert code == 0, errors

    loyalty = json.loads(completed)["loyalty"]
    (entry,) = json.loads(listed)["entries"]
    assert entry["entryId"] == loyalty["entryId"]
    assert entry["ratingSlipId"] == named["ratingSlipId"]


async def test_a_refusal_shows_its_reason_in_the_message(casino: Casino, pair: Pair) -> None:
    header = ("--header", f"authorization: Bearer {casino.token('dealer')}")

    code, _, errors = await buf_curl(
        pair.ratingslip, f"/{RATINGSLIP}/ListRatingSlips", *header, "--data", "{}"
    )

    assert code != 0
    assert json.loads(errors)["message"].startswith("ROLE_NOT_PERMITTED: ")


async def test_without_a_token_everything_but_reflection_and_health_is_refused(
    pair: Pair,
) -> None:
    _, healthy, _ = await buf_curl(pair.ratingslip, "/grpc.health.v1.Health/Check", "--data", "{}")
    code, _, errors = await buf_curl(
        pair.ratingslip, f"/{RATINGSLIP}/ListRatingSlips", "--data", "{}"
    )

    assert json.loads(healthy) == {"status": "SERVING"}
    assert code != 0
    assert json.loads(errors)["code"] == "unauthenticated"
