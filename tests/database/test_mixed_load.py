"""Many clients do everything at once to few players, and the books are right in the end."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import random
import uuid
from collections.abc import Callable, Sequence

from chassis.errors import ServiceError
from loyalty_service.ledger import Ledger
from tests.database.accruals import Row, SlipCredit, entries_of, opened_ledger, players_of
from tests.database.chain import assert_chained
from tests.database.entries import (
    PromotionRequest,
    RedemptionRequest,
    Request,
    ReversalRequest,
    RewardRequest,
    send,
)
from tests.databases import Connection, TestDatabase
from tests.reference import Terms, standing

CLIENTS = 12
CALLS_OF_EACH = 60
# Fewer than there are clients, so that they also wait for each other here.
POOL_SIZE = 10
# The same calls every time; what meets what is up to the machine.
SEED = 20_260_601

CASINO_ID = uuid.UUID("8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e01")
PLAYER_IDS = [uuid.uuid5(CASINO_ID, f"player {number}") for number in range(4)]
# Shared by all clients, so that several ask for the same.
SLIP_IDS = [uuid.uuid5(CASINO_ID, f"slip {number}") for number in range(60)]
CAMPAIGN_IDS = [uuid.uuid5(CASINO_ID, f"campaign {number}") for number in range(3)]
STAFF_ID = uuid.uuid5(CASINO_ID, "staff")
FLOOR = -5_000

# An adjustment may go below the floor, so there is none in the load.
REASONS = {"base_accrual", "manual_reward", "redemption", "promotion", "reversal"}
# Answers that a client of this load may get; any other is a fault.
REFUSALS = {"INSUFFICIENT_BALANCE", "OVERDRAW_EXCEEDS_CAP", "PLAYER_NOT_FOUND", "SLIP_NOT_ACCRUED"}


class Client:
    """Does one thing after the other, and keeps what it was told."""

    def __init__(self, number: int) -> None:
        self._chance = random.Random(SEED + number)
        self._number = number
        self._sent: list[Request] = []
        self.acknowledged: list[Row] = []
        self.refused: collections.Counter[str] = collections.Counter()

    async def work(self, ledger: Ledger) -> None:
        """Makes all of its calls."""
        for call in range(CALLS_OF_EACH):
            request = self._next_request(call)
            self._sent.append(request)
            try:
                self.acknowledged.append(await send(ledger, request))
            except ServiceError as error:
                self.refused[error.reason] += 1

    def _next_request(self, call: int) -> Request:
        makers: list[Callable[[int], Request]] = [
            self._accrual,
            self._accrual,
            self._reward,
            self._reward_for_slip,
            self._redemption,
            self._overdraw,
            self._promotion,
            self._reversal,
            self._replay,
        ]
        return self._chance.choice(makers)(call)

    def _accrual(self, _: int) -> Request:
        slip = self._chance.randrange(len(SLIP_IDS))
        # A slip is one player's, with the same figures whoever sends it.
        return SlipCredit(
            casino_id=CASINO_ID,
            player_id=PLAYER_IDS[slip % len(PLAYER_IDS)],
            rating_slip_id=SLIP_IDS[slip],
            visit_id=SLIP_IDS[slip],
            staff_id=STAFF_ID,
            terms=Terms(str(10 + slip), "1.5", "70", "3600"),
        )

    def _reward(self, call: int) -> Request:
        return self._reward_of(self._chance.choice(PLAYER_IDS), f"reward-{self._number}-{call}")

    def _reward_for_slip(self, _: int) -> Request:
        slip = self._chance.randrange(len(SLIP_IDS))
        reward = self._reward_of(PLAYER_IDS[slip % len(PLAYER_IDS)], "")
        return dataclasses.replace(reward, points=50, rating_slip_id=SLIP_IDS[slip])

    def _reward_of(self, player_id: uuid.UUID, key: str) -> RewardRequest:
        return RewardRequest(
            casino_id=CASINO_ID,
            player_id=player_id,
            points=self._chance.randrange(1, 300),
            staff_id=STAFF_ID,
            idempotency_key=key,
        )

    def _redemption(self, call: int) -> RedemptionRequest:
        return RedemptionRequest(
            casino_id=CASINO_ID,
            player_id=self._chance.choice(PLAYER_IDS),
            points=self._chance.randrange(1, 3_000),
            staff_id=STAFF_ID,
            idempotency_key=f"redemption-{self._number}-{call}",
        )

    def _overdraw(self, call: int) -> Request:
        return dataclasses.replace(
            self._redemption(call), points=self._chance.randrange(1, 6_000), allow_overdraw=True
        )

    def _promotion(self, _: int) -> Request:
        slip = self._chance.randrange(len(SLIP_IDS))
        return PromotionRequest(
            casino_id=CASINO_ID,
            player_id=PLAYER_IDS[slip % len(PLAYER_IDS)],
            campaign_id=self._chance.choice(CAMPAIGN_IDS),
            rating_slip_id=SLIP_IDS[slip],
            multiplier="1.5",
            staff_id=STAFF_ID,
        )

    def _reversal(self, call: int) -> Request:
        """Of anything that it was told of, by this client or through it by others."""
        entries = [entry for entry in self.acknowledged if entry["reason"] != "reversal"]
        if not entries:
            return self._accrual(call)
        return ReversalRequest(self._chance.choice(entries)["id"], CASINO_ID, staff_id=STAFF_ID)

    def _replay(self, call: int) -> Request:
        return self._chance.choice(self._sent) if self._sent else self._accrual(call)


async def test_after_twelve_clients_did_everything_at_once_the_books_are_right(
    loyalty_database: TestDatabase, superuser: Connection
) -> None:
    clients = [Client(number) for number in range(CLIENTS)]

    async with opened_ledger(loyalty_database, POOL_SIZE) as ledger:
        await asyncio.gather(*(client.work(ledger) for client in clients))

    entries = await entries_of(superuser, CASINO_ID)
    refused = sum((client.refused for client in clients), collections.Counter[str]())
    # Nothing that a client cannot help: no deadlock, no busy database, no fault.
    assert set(refused) <= REFUSALS
    assert {entry["reason"] for entry in entries} == REASONS
    assert_every_acknowledged_entry_is_there(clients, entries)
    assert_done_once(entries)
    assert_spent_within_limits(entries)
    await assert_balances_are_the_ends_of_their_chains(superuser, entries)


def assert_every_acknowledged_entry_is_there(
    clients: Sequence[Client], entries: Sequence[Row]
) -> None:
    """Just as it was told, and each was told as new to one caller alone."""
    written = {entry["id"]: entry for entry in entries}
    told = [answer for client in clients for answer in client.acknowledged]
    for answer in told:
        entry = {**answer}
        del entry["is_existing"]
        assert entry == written[answer["id"]]
    new = [answer["id"] for answer in told if not answer["is_existing"]]
    assert sorted(new) == sorted(written)
    # It was a load in which callers met.
    assert len(told) > len(new)


def assert_done_once(entries: Sequence[Row]) -> None:
    """No slip is paid twice, no campaign pays twice for it, nothing is taken back twice."""
    natural_keys = [
        ("reversal", entry["reversed_entry_id"])
        if entry["reason"] == "reversal"
        else (entry["campaign_id"], entry["source_id"])
        for entry in entries
        if entry["reason"] == "reversal" or entry["source_kind"] == "rating_slip"
    ]
    assert len(natural_keys) == len(set(natural_keys))


def assert_spent_within_limits(entries: Sequence[Row]) -> None:
    """Only what was taken back may have gone below the floor, and only an overdraw below zero."""
    for entry in entries:
        if entry["reason"] == "redemption":
            is_overdraw = "overdrawFloor" in json.loads(entry["metadata"])
            assert entry["balance_after"] >= (FLOOR if is_overdraw else 0)


async def assert_balances_are_the_ends_of_their_chains(
    superuser: Connection, entries: Sequence[Row]
) -> None:
    """Each is the sum of its entries, which are numbered without a gap and chained."""
    players = await players_of(superuser, CASINO_ID)
    assert {player["player_id"] for player in players} == set(PLAYER_IDS)
    for player in players:
        chain = [entry for entry in entries if entry["player_id"] == player["player_id"]]
        assert_chained(chain)
        assert player["current_balance"] == sum(entry["points_delta"] for entry in chain)
        assert player["lifetime_points"] == chain[-1]["lifetime_after"]
        assert player["tier"] == standing(player["lifetime_points"]).tier.name
        assert (player["entry_count"], player["head_hash"]) == (len(chain), chain[-1]["hash"])
