"""At the edge of 64 bits: what just fits is written, and what does not leaves every table alone."""

from __future__ import annotations

import dataclasses
import uuid
from fractions import Fraction
from typing import Literal

import pytest

from loyalty_service.ledger import Ledger
from tests.database.accruals import (
    HOUR_OF_PLAY,
    HOUR_OF_PLAY_POINTS,
    Row,
    SlipCredit,
    insert_player,
    insert_program,
)
from tests.database.contents import refused
from tests.database.entries import (
    PromotionRequest,
    RedemptionRequest,
    Request,
    ReversalRequest,
    RewardRequest,
    send,
    suggest_points_as_service,
)
from tests.databases import Connection
from tests.reference import Terms

MOST_POINTS = 2**63 - 1
LEAST_POINTS = -(2**63)

CASINO_ID = uuid.UUID("8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e01")
PLAYER_ID = uuid.UUID("8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e02")

ACCRUAL = SlipCredit(CASINO_ID, PLAYER_ID)
# What comes to the same at the rate of PLATINUM.
ACCRUAL_OF_PLATINUM = dataclasses.replace(
    ACCRUAL, terms=dataclasses.replace(HOUR_OF_PLAY, average_bet="50")
)
REWARD = RewardRequest(casino_id=CASINO_ID, player_id=PLAYER_ID, points=100)
REWARD_FOR_SLIP = dataclasses.replace(REWARD, rating_slip_id=ACCRUAL.rating_slip_id)
PROMOTION = PromotionRequest(casino_id=CASINO_ID, player_id=PLAYER_ID, bonus_points=100)

# 5,000 hours of bets that nobody makes: 5 × 10^18 points at the default rate.
VAST_PLAY = Terms("10000000", "100", "10000", "18000000", point_multiplier="1000")
VAST_PLAY_POINTS = 5 * 10**18


def reward_of(points: int) -> RewardRequest:
    """So many points for the player, or off them."""
    return dataclasses.replace(REWARD, points=points, idempotency_key=f"key-{uuid.uuid4()}")


def reversal_of(entry: Row) -> ReversalRequest:
    """Takes an entry back."""
    return ReversalRequest(entry["id"], CASINO_ID)


@pytest.mark.parametrize(
    ("total", "credit", "points"),
    [
        pytest.param("balance", ACCRUAL, HOUR_OF_PLAY_POINTS, id="balance-accrual"),
        pytest.param("balance", REWARD, 100, id="balance-reward"),
        pytest.param("balance", REWARD_FOR_SLIP, 100, id="balance-reward for a slip"),
        pytest.param("balance", PROMOTION, 100, id="balance-promotion"),
        pytest.param("balance", reward_of(MOST_POINTS), MOST_POINTS, id="balance-all at once"),
        pytest.param("lifetime", ACCRUAL_OF_PLATINUM, HOUR_OF_PLAY_POINTS, id="lifetime-accrual"),
        pytest.param("lifetime", REWARD, 100, id="lifetime-reward"),
        pytest.param("lifetime", REWARD_FOR_SLIP, 100, id="lifetime-reward for a slip"),
        pytest.param("lifetime", PROMOTION, 100, id="lifetime-promotion"),
        pytest.param("lifetime", reward_of(MOST_POINTS), MOST_POINTS, id="lifetime-all at once"),
    ],
)
async def test_a_credit_fills_a_total_to_the_brim_and_not_over_it(
    ledger: Ledger,
    superuser: Connection,
    total: Literal["balance", "lifetime"],
    credit: Request,
    points: int,
) -> None:
    before = MOST_POINTS - points
    await _insert_player(superuser, **{total: before + 1})
    async with refused(superuser, "POINTS_OUT_OF_RANGE"):
        await send(ledger, credit)

    await superuser.execute("TRUNCATE loyalty.player_loyalty CASCADE")
    await _insert_player(superuser, **{total: before})
    entry = await send(ledger, credit)

    assert (entry["points_delta"], entry[f"{total}_after"]) == (points, MOST_POINTS)


async def test_a_correction_takes_the_balance_to_the_last_number_and_no_further(
    ledger: Ledger, superuser: Connection
) -> None:
    await send(ledger, reward_of(1))
    await send(ledger, reward_of(-3))

    async with refused(superuser, "POINTS_OUT_OF_RANGE"):
        await send(ledger, reward_of(-MOST_POINTS))
    entry = await send(ledger, reward_of(-MOST_POINTS + 1))

    assert entry["balance_after"] == LEAST_POINTS
    async with refused(superuser, "POINTS_OUT_OF_RANGE"):
        await send(ledger, reward_of(-1))
    # And it is taken back like any other.
    assert (await send(ledger, reversal_of(entry)))["balance_after"] == -2


async def test_a_play_beyond_64_bits_earns_nothing_and_nothing_is_suggested(
    ledger: Ledger, superuser: Connection
) -> None:
    terms = dataclasses.replace(VAST_PLAY, points_per_unit="20")
    assert terms.points(Fraction(1)) > MOST_POINTS
    await insert_program(superuser, CASINO_ID, points_per_unit=terms.points_per_unit)
    credit = dataclasses.replace(ACCRUAL, terms=terms)

    for call in (send(ledger, credit), suggest_points_as_service(ledger, credit)):
        async with refused(superuser, "POINTS_OUT_OF_RANGE"):
            await call


async def test_a_play_that_would_not_fit_on_top_is_not_suggested_either(
    ledger: Ledger, superuser: Connection
) -> None:
    await _insert_player(superuser, lifetime=MOST_POINTS)

    async with refused(superuser, "POINTS_OUT_OF_RANGE"):
        await suggest_points_as_service(ledger, ACCRUAL)


@pytest.mark.parametrize(
    ("multiplier", "what_is_too_much"), [("2", "the balance"), ("3", "the points themselves")]
)
async def test_a_multiple_beyond_64_bits_is_refused(
    ledger: Ledger, superuser: Connection, multiplier: str, what_is_too_much: str
) -> None:
    entry = await send(ledger, dataclasses.replace(ACCRUAL, terms=VAST_PLAY))
    assert entry["points_delta"] == VAST_PLAY_POINTS
    points = VAST_PLAY_POINTS * (int(multiplier) - 1)
    assert (points > MOST_POINTS) == (what_is_too_much == "the points themselves")

    async with refused(superuser, "POINTS_OUT_OF_RANGE"):
        await send(
            ledger,
            dataclasses.replace(
                PROMOTION, rating_slip_id=ACCRUAL.rating_slip_id, multiplier=multiplier
            ),
        )


@pytest.mark.parametrize("points", [MOST_POINTS, 100])
async def test_what_was_spent_cannot_be_given_back_over_the_brim(
    ledger: Ledger, superuser: Connection, points: int
) -> None:
    await _insert_player(superuser, balance=points)
    spent = await send(
        ledger, RedemptionRequest(casino_id=CASINO_ID, player_id=PLAYER_ID, points=points)
    )
    await send(ledger, reward_of(MOST_POINTS - points + 1))

    async with refused(superuser, "POINTS_OUT_OF_RANGE"):
        await send(ledger, reversal_of(spent))
    await send(ledger, reward_of(-1))
    assert (await send(ledger, reversal_of(spent)))["balance_after"] == MOST_POINTS


@pytest.mark.parametrize(
    "credit",
    [ACCRUAL, REWARD, REWARD_FOR_SLIP, PROMOTION, reward_of(2**62)],
    ids=["accrual", "reward", "reward for a slip", "promotion", "vast reward"],
)
async def test_what_was_given_cannot_be_taken_back_beyond_the_last_number(
    ledger: Ledger, superuser: Connection, credit: Request
) -> None:
    given = await send(ledger, credit)
    points = given["points_delta"]
    await send(ledger, reward_of(-MOST_POINTS))
    # One point too few are left for it.
    await send(ledger, reward_of(-points))

    async with refused(superuser, "POINTS_OUT_OF_RANGE"):
        await send(ledger, reversal_of(given))
    await send(ledger, reward_of(points - 1))
    assert (await send(ledger, reversal_of(given)))["balance_after"] == LEAST_POINTS


async def _insert_player(superuser: Connection, balance: int = 0, lifetime: int = 0) -> None:
    await insert_player(
        superuser, CASINO_ID, PLAYER_ID, lifetime_points=lifetime, current_balance=balance
    )
