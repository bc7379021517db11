"""What a campaign pays: once for each source, and a multiple of what the slip has accrued."""

from __future__ import annotations

import dataclasses
import datetime
import json
import uuid
from collections.abc import Awaitable, Callable

import pytest

from loyalty_service.ledger import Ledger
from tests.database.accruals import (
    HOUR_OF_PLAY,
    HOUR_OF_PLAY_POINTS,
    SlipCredit,
    accrue_as_service,
    insert_player,
    insert_program,
    metadata_of,
)
from tests.database.contents import nothing_written, refused
from tests.database.entries import (
    PromotionRequest,
    ReversalRequest,
    RewardRequest,
    apply_promotion_as_service,
    issue_manual_reward_as_service,
    reverse_entry_as_service,
)
from tests.databases import Connection
from tests.reference import Terms

# Seven points exactly, however they are rounded.
SEVEN_POINTS = Terms("70", "1", "1", "3600")

ROUNDINGS = ("floor", "nearest", "ceil")


def promotion_of(credit: SlipCredit, *, multiplier: str | None = None) -> PromotionRequest:
    """A campaign of its own pays for the credit's slip."""
    return PromotionRequest(
        casino_id=credit.casino_id,
        player_id=credit.player_id,
        rating_slip_id=credit.rating_slip_id,
        multiplier=multiplier,
    )


# How much.


@pytest.mark.parametrize(
    ("multiplier", "paid"),
    [
        # Seven points times what goes beyond one, as floor, nearest and ceil have it.
        ("2", (7, 7, 7)),
        ("1.5", (3, 4, 4)),
        ("1.2", (1, 1, 2)),
        ("1.0715", (0, 1, 1)),
        ("1.0714", (0, 0, 1)),
        ("1.0001", (0, 0, 1)),
        ("100", (693, 693, 693)),
    ],
)
@pytest.mark.parametrize("rounding", ROUNDINGS)
async def test_a_multiplier_pays_what_goes_beyond_the_accrual_rounded_as_that_was(
    ledger: Ledger, superuser: Connection, rounding: str, multiplier: str, paid: tuple[int, ...]
) -> None:
    credit = SlipCredit(terms=SEVEN_POINTS)
    await insert_program(superuser, credit.casino_id, rounding=rounding)
    base = await accrue_as_service(ledger, credit)
    assert base["points_delta"] == 7
    promotion = promotion_of(credit, multiplier=multiplier)
    points = paid[ROUNDINGS.index(rounding)]

    if points == 0:
        facts = {"basePoints": 7, "multiplier": multiplier}
        async with refused(superuser, "PROMOTION_WITHOUT_POINTS", **facts):
            await apply_promotion_as_service(ledger, promotion)
        return
    entry = await apply_promotion_as_service(ledger, promotion)

    assert entry["points_delta"] == points
    assert json.loads(entry["metadata"]) == {
        "multiplier": multiplier,
        "baseEntryId": str(base["id"]),
        "basePoints": "7",
        "rounding": rounding,
    }


async def test_a_multiplier_rounds_as_the_accrual_did_whatever_the_terms_are_by_now(
    ledger: Ledger, superuser: Connection
) -> None:
    credit = SlipCredit(terms=SEVEN_POINTS)
    changed = credit.start_time + datetime.timedelta(days=1)
    await insert_program(superuser, credit.casino_id, rounding="ceil")
    await insert_program(
        superuser, credit.casino_id, version=2, effective_time=changed, rounding="floor"
    )
    await accrue_as_service(ledger, credit)

    entry = await apply_promotion_as_service(ledger, promotion_of(credit, multiplier="1.5"))

    assert entry["points_delta"] == 4


async def test_a_multiplier_multiplies_what_the_tier_has_multiplied_already(
    ledger: Ledger, superuser: Connection
) -> None:
    credit = SlipCredit()
    await insert_player(superuser, credit.casino_id, credit.player_id, lifetime_points=1_000)
    base = await accrue_as_service(ledger, credit)
    # An hour, at the rate of SILVER; and what it pays again counts for the tier.
    assert base["points_delta"] == 1_312

    entry = await apply_promotion_as_service(ledger, promotion_of(credit, multiplier="3"))

    assert entry["points_delta"] == 2 * 1_312
    assert (entry["lifetime_after"], entry["tier_after"]) == (4_936, "SILVER")
    assert entry["balance_after"] == entry["lifetime_after"]


async def test_an_accrual_of_no_points_has_no_multiple(
    ledger: Ledger, superuser: Connection
) -> None:
    credit = SlipCredit(terms=dataclasses.replace(HOUR_OF_PLAY, average_bet="0"))
    await accrue_as_service(ledger, credit)

    async with refused(superuser, "PROMOTION_WITHOUT_POINTS", basePoints=0, multiplier="100"):
        await apply_promotion_as_service(ledger, promotion_of(credit, multiplier="100"))


# On what.


async def _never_accrued(ledger: Ledger, credit: SlipCredit) -> None:
    await accrue_as_service(ledger, credit.for_another_slip())


async def _accrued_by_another(ledger: Ledger, credit: SlipCredit) -> None:
    await _never_accrued(ledger, credit)
    await accrue_as_service(ledger, dataclasses.replace(credit, player_id=uuid.uuid4()))


async def _accrued_elsewhere(ledger: Ledger, credit: SlipCredit) -> None:
    await accrue_as_service(ledger, dataclasses.replace(credit, casino_id=uuid.uuid4()))


async def _paid_by_hand(ledger: Ledger, credit: SlipCredit) -> None:
    reward = RewardRequest(
        casino_id=credit.casino_id,
        player_id=credit.player_id,
        rating_slip_id=credit.rating_slip_id,
    )
    await issue_manual_reward_as_service(ledger, reward)


async def _taken_back(ledger: Ledger, credit: SlipCredit) -> None:
    base = await accrue_as_service(ledger, credit)
    await reverse_entry_as_service(ledger, ReversalRequest(base["id"], credit.casino_id))


@pytest.mark.parametrize(
    "before",
    [_never_accrued, _accrued_by_another, _accrued_elsewhere, _paid_by_hand, _taken_back],
    ids=lambda each: each.__name__.strip("_"),
)
async def test_a_multiplier_needs_an_accrual_of_this_player_that_stands(
    ledger: Ledger,
    superuser: Connection,
    before: Callable[[Ledger, SlipCredit], Awaitable[None]],
) -> None:
    credit = SlipCredit()
    await before(ledger, credit)

    async with refused(superuser, "SLIP_NOT_ACCRUED", slipId=credit.rating_slip_id):
        await apply_promotion_as_service(ledger, promotion_of(credit, multiplier="2"))

    # Fixed points need none.
    entry = await apply_promotion_as_service(ledger, promotion_of(credit))
    assert (entry["points_delta"], metadata_of(entry)) == (100, {"bonusPoints": "100"})


# How often.


async def test_two_campaigns_both_pay_for_a_slip_and_each_of_them_once(
    ledger: Ledger, superuser: Connection
) -> None:
    credit = SlipCredit()
    await accrue_as_service(ledger, credit)
    requests = [promotion_of(credit, multiplier=multiplier) for multiplier in (None, "2")]

    entries = [await apply_promotion_as_service(ledger, each) for each in requests]

    # The multiplier multiplies the accrual, and not what another campaign has paid.
    assert [entry["points_delta"] for entry in entries] == [100, HOUR_OF_PLAY_POINTS]
    async with nothing_written(superuser):
        for request, entry in zip(requests, entries, strict=True):
            dearer = dataclasses.replace(request, bonus_points=900, idempotency_key="another")
            for again in (request, dearer):
                answer = await apply_promotion_as_service(ledger, again)
                assert answer == {**entry, "is_existing": True}


async def test_a_campaign_pays_once_for_each_slip_each_visit_and_each_player(
    ledger: Ledger, superuser: Connection
) -> None:
    # One ID for a slip, a visit and a player: they are still different sources.
    one_id, other_id = uuid.uuid4(), uuid.uuid4()
    of_one = PromotionRequest(player_id=one_id)
    of_other = dataclasses.replace(of_one, player_id=other_id)
    requests = [
        of_one,
        of_other,
        dataclasses.replace(of_one, visit_id=one_id, idempotency_key="visit"),
        dataclasses.replace(of_one, visit_id=other_id, idempotency_key="other visit"),
        dataclasses.replace(of_one, rating_slip_id=one_id, idempotency_key="slip"),
        dataclasses.replace(of_one, rating_slip_id=other_id, idempotency_key="other slip"),
    ]

    entries = [await apply_promotion_as_service(ledger, each) for each in requests]

    assert not any(each["is_existing"] for each in entries)
    assert [(each["source_kind"], each["source_id"]) for each in entries] == [
        (kind, source_id)
        for kind in ("player", "visit", "rating_slip")
        for source_id in (one_id, other_id)
    ]
    assert [each["visit_id"] for each in entries] == [None, None, one_id, other_id, None, None]
    assert [each["rating_slip_id"] for each in entries] == [None] * 4 + [one_id, other_id]
    async with nothing_written(superuser):
        for request, entry in zip(requests, entries, strict=True):
            again = dataclasses.replace(request, idempotency_key=f"{request.key} again")
            answer = await apply_promotion_as_service(ledger, again)
            assert answer == {**entry, "is_existing": True}


async def test_what_a_campaign_paid_for_a_visit_is_what_another_player_of_it_gets(
    ledger: Ledger, superuser: Connection
) -> None:
    """A visit is one player's; whoever names another gets the entry, and no row of their own."""
    request = PromotionRequest(visit_id=uuid.uuid4())
    entry = await apply_promotion_as_service(ledger, request)

    async with nothing_written(superuser):
        other = dataclasses.replace(request, player_id=uuid.uuid4(), idempotency_key="another")
        answer = await apply_promotion_as_service(ledger, other)

    assert answer == {**entry, "is_existing": True}


async def test_a_promotion_that_was_taken_back_is_not_paid_again(
    ledger: Ledger, superuser: Connection
) -> None:
    request = PromotionRequest()
    entry = await apply_promotion_as_service(ledger, request)
    await reverse_entry_as_service(ledger, ReversalRequest(entry["id"], request.casino_id))

    async with nothing_written(superuser):
        for key in ("", "another"):
            again = dataclasses.replace(request, idempotency_key=key)
            answer = await apply_promotion_as_service(ledger, again)
            assert answer == {**entry, "is_existing": True}
