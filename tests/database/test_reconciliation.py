"""A balance is set to what the entries say, if they verify; the trail says who did it and why."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chassis.context import Role
from chassis.errors import ServiceError
from loyalty_service.ledger import Ledger
from tests.database.accruals import (
    Row,
    SlipCredit,
    accrue,
    accrue_as_service,
    calling,
    entries_of,
    opened_ledger,
    players_of,
)
from tests.database.chain import assert_chained
from tests.database.drifting import (
    BREAKAGES,
    REASON,
    STAFF_ID,
    audit_of,
    check,
    delete_balance,
    insert_drifting_player,
    move,
    paid_player,
    reconcile,
)
from tests.database.verifying import Break, verify, write_every_reason
from tests.database.waiting import until_it_waits_for_a_lock
from tests.databases import Connection, TestDatabase

# Those that leave entries which verify.
REPARABLE = sorted(BREAKAGES.keys() - {"entries deleted", "entry added"})
BALANCE_COLUMNS = ("current_balance", "lifetime_points", "tier")


@pytest.fixture
async def ledger(loyalty_database: TestDatabase) -> AsyncIterator[Ledger]:
    async with opened_ledger(loyalty_database, 4) as ledger:
        yield ledger


# What is repaired.


@pytest.mark.parametrize("breakage", REPARABLE)
async def test_what_drifts_is_set_to_what_the_entries_say_and_drifts_no_more(
    ledger: Ledger, superuser: Connection, breakage: str
) -> None:
    casino_id = uuid.uuid4()
    player_id = await paid_player(ledger, casino_id)
    (healthy,) = await players_of(superuser, casino_id)
    await BREAKAGES[breakage](superuser, casino_id, player_id)
    (finding,) = (await check(ledger, casino_id)).findings

    repaired = await reconcile(ledger, casino_id, player_id)

    assert (repaired["finding"], repaired["is_repaired"]) == (finding, True)
    # To the last column, the times and the end of the chain included.
    (row,) = await players_of(superuser, casino_id)
    assert row | {"created_time": None} == healthy | {"created_time": None}
    (entry,) = await entries_of(superuser, casino_id)
    assert row["created_time"] in (healthy["created_time"], entry["recorded_time"])
    assert {column: repaired[column] for column in BALANCE_COLUMNS} == {
        column: healthy[column] for column in BALANCE_COLUMNS
    }
    assert await check(ledger, casino_id) == (1, 0, None, [])


async def test_a_repaired_player_of_every_reason_goes_on_with_an_unbroken_chain(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id, player_id = uuid.uuid4(), uuid.uuid4()
    written = await write_every_reason(ledger, casino_id, player_id)
    (healthy,) = await players_of(superuser, casino_id)
    await delete_balance(superuser, casino_id, player_id)

    await reconcile(ledger, casino_id, player_id)
    (repaired,) = await players_of(superuser, casino_id)
    entry = await accrue_as_service(ledger, SlipCredit(casino_id, player_id))

    assert repaired | {"created_time": None} == healthy | {"created_time": None}
    assert repaired["created_time"] == written[0]["recorded_time"]
    assert entry["entry_number"] == len(written) + 1
    assert_chained(await entries_of(superuser, casino_id))
    assert (await verify(superuser, casino_id)).breaks == []


async def test_a_tier_that_no_entry_gave_is_taken_back(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    player_id = await paid_player(ledger, casino_id)
    await superuser.execute("UPDATE loyalty.player_loyalty SET tier = 'PLATINUM'")

    repaired = await reconcile(ledger, casino_id, player_id)

    assert (repaired["is_repaired"], repaired["finding"]["severity"]) == (True, "info")
    (row,) = await players_of(superuser, casino_id)
    assert row["tier"] == "SILVER"
    (audit,) = await audit_of(superuser, casino_id)
    assert (audit["before"]["tier"], audit["after"]["tier"]) == ("PLATINUM", "SILVER")


async def test_points_without_any_entry_are_taken_back(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    player_id = await insert_drifting_player(superuser, casino_id, 6_000)

    repaired = await reconcile(ledger, casino_id, player_id)

    assert [repaired[column] for column in BALANCE_COLUMNS] == [0, 0, "BRONZE"]


# What is written down.


@pytest.mark.parametrize("breakage", REPARABLE)
async def test_a_repair_has_one_audit_row_and_a_repetition_none(
    ledger: Ledger, superuser: Connection, breakage: str
) -> None:
    casino_id = uuid.uuid4()
    player_id = await paid_player(ledger, casino_id)
    await BREAKAGES[breakage](superuser, casino_id, player_id)
    before = standing(await players_of(superuser, casino_id))

    first = await reconcile(ledger, casino_id, player_id)
    again = await reconcile(ledger, casino_id, player_id)

    assert (first["is_repaired"], again["is_repaired"]) == (True, False)
    assert (again["finding"]["drift_points"], again["finding"]["severity"]) == (0, None)
    (audit,) = await audit_of(superuser, casino_id)
    assert (audit["action"], audit["player_id"]) == ("reconcile_balance", player_id)
    assert (audit["role"], audit["staff_id"]) == ("admin", STAFF_ID)
    assert audit["correlation_id"] == "correlation-1"
    assert audit["before"] == before
    assert audit["after"] == {
        **(standing(await players_of(superuser, casino_id)) or {}),
        "reason": REASON,
    }


async def test_where_nothing_drifts_nothing_is_written(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    player_id = await paid_player(ledger, casino_id)
    healthy = await players_of(superuser, casino_id)

    answer = await reconcile(ledger, casino_id, player_id)

    assert answer["is_repaired"] is False
    assert answer["finding"] == {
        "player_id": str(player_id),
        "has_balance": True,
        "severity": None,
        "current_balance": 1050,
        "ledger_balance": 1050,
        "drift_points": 0,
        "lifetime_points": 1050,
        "ledger_lifetime_points": 1050,
        "tier": "SILVER",
        "ledger_tier": "SILVER",
    }
    assert await players_of(superuser, casino_id) == healthy
    assert await audit_of(superuser, casino_id) == []


# What is refused.


@pytest.mark.parametrize(
    ("statement", "entry_number"),
    [
        ("UPDATE loyalty.loyalty_ledger SET note = 'changed' WHERE entry_number = 2", 2),
        ("DELETE FROM loyalty.loyalty_ledger WHERE entry_number = 2", 2),
        ("DELETE FROM loyalty.loyalty_ledger WHERE entry_number = 4", 4),
        ("DELETE FROM loyalty.loyalty_ledger", 1),
        ("UPDATE loyalty.player_loyalty SET entry_count = 5", 5),
    ],
    ids=["changed", "taken out", "cut off", "all gone", "count raised"],
)
async def test_entries_that_do_not_verify_are_no_ground_to_repair_on(
    ledger: Ledger, superuser: Connection, statement: str, entry_number: int
) -> None:
    casino_id = uuid.uuid4()
    credit = SlipCredit(casino_id)
    for _ in range(4):
        await accrue_as_service(ledger, credit.for_another_slip())
    await superuser.execute(statement)
    await move(superuser, casino_id, credit.player_id, balance=-2_000)
    broken = await players_of(superuser, casino_id)

    refused = await refusal_of(reconcile(ledger, casino_id, credit.player_id))

    assert refused.reason == "LEDGER_NOT_INTACT"
    assert refused.metadata == {
        "playerId": str(credit.player_id),
        "entryNumber": str(entry_number),
    }
    assert await players_of(superuser, casino_id) == broken
    assert await audit_of(superuser, casino_id) == []


async def test_a_missing_balance_is_not_made_from_entries_that_do_not_verify(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    player_id = await paid_player(ledger, casino_id)
    await delete_balance(superuser, casino_id, player_id)
    await superuser.execute("UPDATE loyalty.loyalty_ledger SET note = 'changed'")

    refused = await refusal_of(reconcile(ledger, casino_id, player_id))

    assert (refused.reason, refused.metadata["entryNumber"]) == ("LEDGER_NOT_INTACT", "1")
    assert await players_of(superuser, casino_id) == []


async def test_a_repair_leaves_the_end_of_the_chain_as_it_was_so_that_a_cut_still_shows(
    ledger: Ledger, superuser: Connection
) -> None:
    """The last entry is cut off while the balance is repaired for another reason."""
    casino_id = uuid.uuid4()
    player_id = await paid_player(ledger, casino_id, await paid_player(ledger, casino_id))
    await move(superuser, casino_id, player_id, balance=10)
    await reconcile(ledger, casino_id, player_id)
    await superuser.execute("DELETE FROM loyalty.loyalty_ledger WHERE entry_number = 2")

    assert (await verify(superuser, casino_id)).breaks == [Break(player_id, 2, None, "MISSING")]


async def test_a_player_nobody_knows_and_one_of_another_casino_are_the_same(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id, elsewhere = uuid.uuid4(), uuid.uuid4()
    theirs = await paid_player(ledger, elsewhere)
    await move(superuser, elsewhere, theirs, balance=5)

    for player_id in (uuid.uuid4(), theirs):
        refused = await refusal_of(reconcile(ledger, casino_id, player_id))
        assert refused.reason == "PLAYER_NOT_FOUND"
        assert refused.metadata == {"playerId": str(player_id)}
    assert (await check(ledger, elsewhere)).players_drifted == 1


async def test_the_database_lets_an_admin_repair_and_nobody_else(
    ledger: Ledger, superuser: Connection
) -> None:
    casino_id = uuid.uuid4()
    player_id = await paid_player(ledger, casino_id)
    await move(superuser, casino_id, player_id, balance=5)

    for role in set(Role) - {Role.ADMIN}:
        with calling(casino_id, STAFF_ID, role):
            assert (
                await refusal_of(ledger.reconcile_balance(player_id, REASON))
            ).reason == "INTERNAL"
    assert (await check(ledger, casino_id)).players_drifted == 1


# What happens at the same time.


async def test_of_two_repairs_at_once_one_is_done(ledger: Ledger, superuser: Connection) -> None:
    for breakage in ("balance moved", "balance row deleted"):
        casino_id = uuid.uuid4()
        player_id = await paid_player(ledger, casino_id)
        await BREAKAGES[breakage](superuser, casino_id, player_id)

        answers = await asyncio.gather(*(reconcile(ledger, casino_id, player_id) for _ in range(4)))

        assert sorted(answer["is_repaired"] for answer in answers) == [False, False, False, True]
        assert len(await audit_of(superuser, casino_id)) == 1


async def test_a_repair_waits_for_the_entry_that_is_being_written_and_counts_it(
    ledger: Ledger, superuser: Connection, loyalty_service_role: Connection
) -> None:
    credit = SlipCredit()
    await accrue(loyalty_service_role, credit)

    writing = loyalty_service_role.transaction()
    await writing.start()
    await accrue(loyalty_service_role, credit.for_another_slip())
    repair = asyncio.create_task(reconcile(ledger, credit.casino_id, credit.player_id))
    await until_it_waits_for_a_lock(repair, superuser)
    await writing.commit()

    answer = await repair
    entries = await entries_of(superuser, credit.casino_id)
    assert answer["current_balance"] == sum(entry["points_delta"] for entry in entries)
    assert answer["is_repaired"] is False


async def refusal_of(call: Any) -> ServiceError:
    """What a call that must fail is refused with."""
    with pytest.raises(ServiceError) as refused:
        await call
    return refused.value


def standing(players: list[Row]) -> dict[str, object] | None:
    """What is cached for a casino's one player, as the audit trail has it."""
    if not players:
        return None
    (player,) = players
    return {
        "current_balance": player["current_balance"],
        "lifetime_points": player["lifetime_points"],
        "tier": player["tier"],
    }
