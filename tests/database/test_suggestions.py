"""What is suggested is what an accrual then pays, to the point; and asking writes nothing."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from loyalty_service.ledger import Ledger
from tests.database.accruals import (
    HOUR_OF_PLAY_POINTS,
    SlipCredit,
    accrue_as_service,
    insert_player,
    insert_program,
    opened_ledger,
)
from tests.database.contents import nothing_written
from tests.database.entries import (
    ReversalRequest,
    RewardRequest,
    issue_manual_reward_as_service,
    reverse_entry_as_service,
    suggest_points_as_service,
)
from tests.databases import LOYALTY, Connection, Databases, connected
from tests.reference import GoldenCase, Terms, golden_cases


class Desk(NamedTuple):
    """One database for all cases, each of which is a casino of its own."""

    ledger: Ledger
    superuser: Connection


@pytest.fixture(scope="module")
async def desk(databases: Databases) -> AsyncIterator[Desk]:
    async with (
        databases.migrated(LOYALTY) as database,
        connected(database.superuser_url) as superuser,
        opened_ledger(database, pool_size=2) as ledger,
    ):
        yield Desk(ledger, superuser)


@pytest.mark.parametrize("case", golden_cases(), ids=str)
async def test_a_suggestion_is_what_the_accrual_then_pays(desk: Desk, case: GoldenCase) -> None:
    credit = SlipCredit(terms=case.terms)
    await insert_program(
        desk.superuser,
        credit.casino_id,
        points_per_unit=case.terms.points_per_unit,
        rounding=case.terms.rounding,
    )
    if case.lifetime_before > 0:
        await insert_player(
            desk.superuser, credit.casino_id, credit.player_id, lifetime_points=case.lifetime_before
        )

    suggestion = await suggest_points_as_service(desk.ledger, credit)
    entry = await accrue_as_service(desk.ledger, credit)

    assert suggestion == {
        "points": case.expected.points,
        "entry_id": None,
        "current_balance": case.lifetime_before,
        "tier": case.expected.tier_before,
        "tier_after": case.expected.tier_after,
        # Every input, as the entry has it.
        "metadata": entry["metadata"],
    }
    assert suggestion["points"] == entry["points_delta"]
    assert suggestion["tier_after"] == entry["tier_after"]


async def test_asking_writes_nothing_not_even_for_a_player_nobody_has_seen(
    ledger: Ledger, superuser: Connection
) -> None:
    known = SlipCredit()
    await accrue_as_service(ledger, known)
    unknown = dataclasses.replace(known.for_another_slip(), player_id=uuid.uuid4())

    async with nothing_written(superuser):
        of_known = await suggest_points_as_service(ledger, known.for_another_slip())
        of_unknown = await suggest_points_as_service(ledger, unknown)

    assert (of_known["current_balance"], of_known["tier"]) == (HOUR_OF_PLAY_POINTS, "SILVER")
    assert (of_known["points"], of_known["tier_after"]) == (1_312, "SILVER")
    assert (of_unknown["current_balance"], of_unknown["tier"]) == (0, "BRONZE")
    assert (of_unknown["points"], of_unknown["tier_after"]) == (HOUR_OF_PLAY_POINTS, "SILVER")


async def test_for_a_paid_slip_it_says_what_was_paid_and_names_the_entry(ledger: Ledger) -> None:
    credit = SlipCredit()
    entry = await accrue_as_service(ledger, credit)
    # Whatever the figures are by now, and however much was earned since.
    await accrue_as_service(ledger, credit.for_another_slip())
    other_figures = dataclasses.replace(credit, terms=Terms("999", "5", "100", "60"))

    for asked in (credit, other_figures):
        assert await suggest_points_as_service(ledger, asked) == {
            "points": HOUR_OF_PLAY_POINTS,
            "entry_id": entry["id"],
            "current_balance": HOUR_OF_PLAY_POINTS + 1_312,
            # Nothing comes on top of what the player has.
            "tier": "SILVER",
            "tier_after": "SILVER",
            "metadata": entry["metadata"],
        }


async def test_a_reward_in_the_accruals_place_is_what_was_paid(ledger: Ledger) -> None:
    credit = SlipCredit()
    reward = RewardRequest(
        casino_id=credit.casino_id,
        player_id=credit.player_id,
        rating_slip_id=credit.rating_slip_id,
        points=77,
    )
    entry = await issue_manual_reward_as_service(ledger, reward)

    suggestion = await suggest_points_as_service(ledger, credit)

    assert (suggestion["points"], suggestion["entry_id"]) == (77, entry["id"])


async def test_a_payment_that_was_taken_back_stays_the_slips_entry(ledger: Ledger) -> None:
    credit = SlipCredit()
    entry = await accrue_as_service(ledger, credit)
    await reverse_entry_as_service(ledger, ReversalRequest(entry["id"], credit.casino_id))

    suggestion = await suggest_points_as_service(ledger, credit)

    # As an accrual would answer: the slip is not paid again.
    assert (suggestion["points"], suggestion["entry_id"]) == (HOUR_OF_PLAY_POINTS, entry["id"])
    assert (suggestion["current_balance"], suggestion["tier"]) == (0, "BRONZE")
