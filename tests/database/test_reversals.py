"""Taking back: once, whatever it was, with the lifetime points that it had earned."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from loyalty_service.ledger import Ledger
from tests.database.accruals import (
    HOUR_OF_PLAY,
    HOUR_OF_PLAY_POINTS,
    Row,
    SlipCredit,
)
from tests.database.contents import nothing_written, refused
from tests.database.entries import (
    PromotionRequest,
    RedemptionRequest,
    Request,
    ReversalRequest,
    RewardRequest,
    reverse_entry_as_service,
    send,
)
from tests.databases import Connection

CASINO_ID = uuid.UUID("8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e01")
PLAYER_ID = uuid.UUID("8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e02")

# What is written first, so that there is something to spend.
OPENING = RewardRequest(casino_id=CASINO_ID, player_id=PLAYER_ID, points=4_500)
ACCRUAL = SlipCredit(CASINO_ID, PLAYER_ID)
REWARD = RewardRequest(casino_id=CASINO_ID, player_id=PLAYER_ID, points=700)
REWARD_FOR_SLIP = dataclasses.replace(REWARD, rating_slip_id=ACCRUAL.rating_slip_id)
ADJUSTMENT = RewardRequest(casino_id=CASINO_ID, player_id=PLAYER_ID, points=-9_000)
PROMOTION = PromotionRequest(casino_id=CASINO_ID, player_id=PLAYER_ID, bonus_points=700)
REDEMPTION = RedemptionRequest(casino_id=CASINO_ID, player_id=PLAYER_ID, points=4_000)


def reversal_of(entry: Row, key: str = "") -> ReversalRequest:
    """Takes an entry back."""
    return ReversalRequest(entry["id"], CASINO_ID, idempotency_key=key)


@pytest.mark.parametrize(
    ("request_to_take_back", "points", "earned", "tiers"),
    [
        # The tier that the entry has given is lost again; the others are kept.
        (ACCRUAL, 1_312, 1_312, ("SILVER", "GOLD", "SILVER")),
        (REWARD, 700, 700, ("SILVER", "GOLD", "SILVER")),
        (REWARD_FOR_SLIP, 700, 700, ("SILVER", "GOLD", "SILVER")),
        (PROMOTION, 700, 700, ("SILVER", "GOLD", "SILVER")),
        (REDEMPTION, -4_000, 0, ("SILVER", "SILVER", "SILVER")),
        (ADJUSTMENT, -9_000, 0, ("SILVER", "SILVER", "SILVER")),
    ],
    ids=["accrual", "reward", "reward for a slip", "promotion", "redemption", "adjustment"],
)
async def test_whatever_an_entry_moved_is_as_it_was_before(
    ledger: Ledger,
    superuser: Connection,
    request_to_take_back: Request,
    points: int,
    earned: int,
    tiers: tuple[str, str, str],
) -> None:
    opening = await send(ledger, OPENING)
    entry = await send(ledger, request_to_take_back)
    assert entry["points_delta"] == points
    assert entry["lifetime_after"] - entry["lifetime_before"] == earned

    reversal = await send(ledger, reversal_of(entry))

    assert (reversal["points_delta"], reversal["reversed_entry_id"]) == (-points, entry["id"])
    assert (reversal["source_kind"], reversal["source_id"]) == ("entry", entry["id"])
    assert reversal["balance_after"] == opening["balance_after"]
    assert reversal["lifetime_after"] == opening["lifetime_after"]
    assert reversal["tier_progress_percent"] == opening["tier_progress_percent"]
    assert (entry["tier_before"], reversal["tier_before"], reversal["tier_after"]) == tiers
    for column in ("rating_slip_id", "visit_id", "campaign_id"):
        assert reversal[column] == entry[column]


async def test_a_correction_takes_the_balance_below_any_floor(ledger: Ledger) -> None:
    opening = await send(ledger, dataclasses.replace(OPENING, points=20_000))
    await send(ledger, dataclasses.replace(REDEMPTION, points=25_000, allow_overdraw=True))

    reversal = await send(ledger, reversal_of(opening))

    assert (reversal["balance_after"], reversal["lifetime_after"]) == (-25_000, 0)
    assert (reversal["tier_before"], reversal["tier_after"]) == ("PLATINUM", "BRONZE")


async def test_an_accrual_of_no_points_can_be_taken_back_too(ledger: Ledger) -> None:
    nothing = dataclasses.replace(ACCRUAL, terms=dataclasses.replace(HOUR_OF_PLAY, average_bet="0"))
    entry = await send(ledger, nothing)

    reversal = await send(ledger, reversal_of(entry))

    assert (reversal["points_delta"], reversal["entry_number"]) == (0, 2)


# Once.


async def test_a_second_try_gets_the_first_reversal_with_any_key_and_any_words(
    ledger: Ledger, superuser: Connection
) -> None:
    entry = await send(ledger, OPENING)
    first = await send(ledger, reversal_of(entry))

    async with nothing_written(superuser):
        for again in (
            reversal_of(entry),
            reversal_of(entry, "another"),
            dataclasses.replace(reversal_of(entry, "yet another"), note="for another reason"),
        ):
            assert await send(ledger, again) == {**first, "is_existing": True}


@pytest.mark.parametrize("key", ["", "another"])
async def test_a_reversal_cannot_be_taken_back(
    ledger: Ledger, superuser: Connection, key: str
) -> None:
    reversal = await send(ledger, reversal_of(await send(ledger, OPENING)))

    async with refused(superuser, "NOT_REVERSIBLE", entryId=reversal["id"]):
        await send(ledger, reversal_of(reversal, key))


@pytest.mark.parametrize("paid_by", [ACCRUAL, REWARD_FOR_SLIP], ids=["accrual", "reward"])
@pytest.mark.parametrize("asked_for", [ACCRUAL, REWARD_FOR_SLIP], ids=["accrual", "reward"])
async def test_a_slip_whose_payment_was_taken_back_is_not_paid_again(
    ledger: Ledger, superuser: Connection, paid_by: Request, asked_for: Request
) -> None:
    payment = await send(ledger, paid_by)
    await send(ledger, reversal_of(payment))

    async with nothing_written(superuser):
        for key in ("", "another"):
            again = dataclasses.replace(asked_for, idempotency_key=key)
            assert await send(ledger, again) == {**payment, "is_existing": True}


# Whose.


async def test_there_is_no_entry_of_another_casino_here(
    ledger: Ledger, superuser: Connection
) -> None:
    elsewhere = await send(ledger, dataclasses.replace(OPENING, casino_id=uuid.uuid4()))
    await send(ledger, OPENING)

    for entry_id in (elsewhere["id"], uuid.uuid4()):
        async with refused(superuser, "ENTRY_NOT_FOUND", entryId=entry_id):
            await reverse_entry_as_service(ledger, ReversalRequest(entry_id, CASINO_ID))


async def test_the_tier_that_pays_next_is_the_one_that_is_left(ledger: Ledger) -> None:
    """What was earned at SILVER's rate stays; only the rate of what comes is BRONZE's again."""
    opening = await send(ledger, OPENING)
    await send(ledger, ACCRUAL)
    await send(ledger, reversal_of(opening))
    # 1312 lifetime points are left: still SILVER. Taking these back too is BRONZE.
    silver = await send(ledger, ACCRUAL.for_another_slip())
    for entry in (silver, await send(ledger, ACCRUAL)):
        await send(ledger, reversal_of(entry))

    bronze = await send(ledger, ACCRUAL.for_another_slip())

    assert (silver["points_delta"], bronze["points_delta"]) == (1_312, HOUR_OF_PLAY_POINTS)
    assert bronze["tier_before"] == "BRONZE"
