"""Who may write what: the matrices that the database itself enforces, role by role."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.database.rows import MOMENT, insert, row, staff_of
from tests.database.seeded import (
    FORBIDDEN,
    NEWCOMER,
    OURS,
    THEIRS,
    Seeded,
    casinos_seen,
    context,
    insert_refusal,
    refusal,
    seeded_database,
)
from tests.databases import LOYALTY, RATINGSLIP, Databases

# All that a context may name; no token gives the last one.
ROLES = ("dealer", "cashier", "pit_boss", "admin", "service", "scheduler")
# The context of no casino, in which the service asks where it has work.
NO_CASINO = uuid.UUID(int=0)
# A slip that is closed and waits for its points, beside the open one with number 1.
CLOSED = 3
DUE: dict[str, object] = {
    "status": "CLOSED",
    "running_since": None,
    "end_time": MOMENT,
    "duration_seconds": 0,
    "closed_by_staff_id": uuid.UUID(int=1),
    "loyalty_state": "PENDING",
    "next_recovery_time": MOMENT,
}
REFUSED: dict[str, object] = {
    "loyalty_state": "REFUSED",
    "next_recovery_time": None,
    "loyalty_refusal_reason": "POINTS_OUT_OF_RANGE",
}
# Instead of a refusal: the row is not there for the role.
UNSEEN = "unseen"
# What the checks of a table say.
CHECKED = asyncpg.CheckViolationError.sqlstate

# Who may write which reason into the ledger, and with which sign: `-0+` are the signs
# that are taken. An overdraw is a redemption that ends below zero.
LEDGER_MATRIX = """
                  dealer  cashier  pit_boss  admin  service  scheduler
    base_accrual     .       .         .       .      0+         .
    manual_reward    .       .         +       +      .          .
    promotion        .       .         +       +      .          .
    redemption       .       -         -       -      .          .
    overdraw         .       .         -       -      .          .
    adjustment       .       .         .       -+     .          .
    reversal         .       .         .       -0+    .          .
    gift             .       .         .       .      .          .
"""
# Who may write into the other tables of Loyalty.
LOYALTY_MATRIX = """
                    dealer  cashier  pit_boss  admin  service  scheduler
    open_balance       .      yes       yes     yes     yes        .
    move_balance       .      yes       yes     yes     yes        .
    set_terms          .       .         .      yes      .         .
    audit              .       .         .      yes      .        yes
    enrol              .       .         .       .       .        yes
    schedule           .       .         .       .       .        yes
"""
# Who may open, change and write the history of a rating slip.
SLIP_MATRIX = """
                  dealer  cashier  pit_boss  admin  service  scheduler
    open             .       .        yes     yes      .         .
    change_open      .       .        yes     yes      .       unseen
    change_closed    .       .        yes     yes      .        yes
    record_play      .       .        yes     yes      .         .
    record_points    .       .        yes     yes      .        yes
    record_failure   .       .        yes     yes      .        yes
"""


@pytest.fixture
async def ledger(databases: Databases) -> AsyncIterator[Seeded]:
    async with seeded_database(databases, LOYALTY) as made:
        yield made


@pytest.fixture
async def slips(databases: Databases) -> AsyncIterator[Seeded]:
    async with seeded_database(databases, RATINGSLIP) as made:
        yield made


# How an entry of each line is written, whatever its points are.
ENTRIES: dict[str, dict[str, object]] = {
    "base_accrual": {"source_kind": "rating_slip"},
    "manual_reward": {"source_kind": "staff"},
    "promotion": {"source_kind": "player", "campaign_id": uuid.UUID(int=1)},
    "redemption": {"source_kind": "staff", "balance_before": 1000},
    "overdraw": {"reason": "redemption", "source_kind": "staff", "balance_before": 0},
    "adjustment": {"source_kind": "staff"},
    "reversal": {
        "source_kind": "entry",
        "reversed_entry_id": row("loyalty_ledger", OURS, 1)["id"],
    },
    "gift": {"source_kind": "staff"},
}
EARNINGS = {"base_accrual", "promotion", "manual_reward", "reversal"}
SIGNS = {"-": -100, "0": 0, "+": 100}


def entry_with(line: str, points: int) -> dict[str, object]:
    """The columns of an entry that adds up."""
    before = ENTRIES[line].get("balance_before", 500)
    assert isinstance(before, int)
    return {
        "reason": line,
        **ENTRIES[line],
        "points_delta": points,
        "balance_before": before,
        "balance_after": before + points,
        "lifetime_after": points if line in EARNINGS else 0,
    }


async def test_the_ledger_takes_each_reason_and_sign_from_the_roles_that_may_write_it(
    ledger: Seeded,
) -> None:
    refusals: dict[tuple[str, str], dict[str, str | None]] = {}
    for line, role in itertools.product(ENTRIES, ROLES):
        async with context(ledger, OURS, role=role):
            refusals[line, role] = {
                sign: await insert_refusal(
                    ledger, "loyalty_ledger", OURS, **entry_with(line, points)
                )
                for sign, points in SIGNS.items()
            }

    taken = {
        cell: "".join(sign for sign, refusal in by_sign.items() if refusal is None) or "."
        for cell, by_sign in refusals.items()
    }
    assert taken == cells(LEDGER_MATRIX)
    # Whatever is not taken is an error of PostgreSQL's own: of the policies or the checks.
    assert {state for by_sign in refusals.values() for state in by_sign.values()} == {
        None,
        FORBIDDEN,
        CHECKED,
    }


async def test_nobody_writes_the_ledger_of_another_casino(ledger: Seeded) -> None:
    refused = {}
    for line, role in itertools.product(ENTRIES, ROLES):
        for sign, points in SIGNS.items():
            async with context(ledger, OURS, role=role):
                refused[line, role, sign] = await insert_refusal(
                    ledger, "loyalty_ledger", THEIRS, **entry_with(line, points)
                )

    assert set(refused.values()) == {FORBIDDEN}


async def test_nobody_writes_the_ledger_in_anothers_name(ledger: Seeded) -> None:
    refused = {}
    for line, role in itertools.product(ENTRIES, ROLES):
        async with context(ledger, OURS, role=role):
            values = {**entry_with(line, 100), "staff_id": uuid.uuid4()}
            refused[line, role] = await insert_refusal(ledger, "loyalty_ledger", OURS, **values)

    assert set(refused.values()) == {FORBIDDEN}


async def test_the_other_tables_take_rows_from_the_roles_that_may_write_them(
    ledger: Seeded,
) -> None:
    found: dict[tuple[str, str], str | None] = {}
    for role in ROLES:
        async with context(ledger, OURS, role=role):
            by = {"role": role, "staff_id": None if role == "scheduler" else staff_of(OURS)}
            found["open_balance", role] = await insert_refusal(ledger, "player_loyalty", OURS)
            found["move_balance", role] = await refusal(
                ledger, "UPDATE loyalty.player_loyalty SET current_balance = 1"
            )
            found["set_terms", role] = await insert_refusal(ledger, "loyalty_program", OURS)
            found["audit", role] = await insert_refusal(ledger, "loyalty_audit", OURS, **by)
            found["schedule", role] = await refusal(
                ledger, "UPDATE loyalty.drift_schedule SET lease_until = next_time"
            )
        async with context(ledger, NEWCOMER, role=role):
            found["enrol", role] = await insert_refusal(ledger, "drift_schedule", NEWCOMER)

    assert found == matrix(LOYALTY_MATRIX)


async def test_terms_and_the_audit_trail_are_not_written_in_anothers_name(ledger: Seeded) -> None:
    async with context(ledger, OURS, role="admin"):
        for table, column in (
            ("loyalty_program", "created_by_staff_id"),
            ("loyalty_audit", "staff_id"),
        ):
            changed: dict[str, object] = {column: uuid.uuid4()}
            assert await insert_refusal(ledger, table, OURS, **changed) == FORBIDDEN
        assert await insert_refusal(ledger, "loyalty_audit", OURS, role="scheduler") == FORBIDDEN


async def test_only_the_scheduler_sees_where_work_is_due_and_nothing_else(ledger: Seeded) -> None:
    nobody = uuid.UUID(int=0)
    seen = {}
    for role in ROLES:
        async with context(ledger, nobody, role=role):
            seen[role] = {table: len(await casinos_seen(ledger, table)) for table in ledger.tables}

    nothing = dict.fromkeys(ledger.tables, 0)
    assert seen == {**dict.fromkeys(ROLES, nothing), "scheduler": {**nothing, "drift_schedule": 2}}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE loyalty.loyalty_ledger SET note = 'changed'",
        "UPDATE loyalty.loyalty_ledger SET points_delta = points_delta",
        "DELETE FROM loyalty.loyalty_ledger",
        "TRUNCATE loyalty.loyalty_ledger",
        "UPDATE loyalty.loyalty_audit SET after = '{}'",
        "DELETE FROM loyalty.loyalty_audit",
        "TRUNCATE loyalty.loyalty_audit",
        "UPDATE loyalty.loyalty_program SET points_per_unit = 0",
        "DELETE FROM loyalty.loyalty_program",
        "DELETE FROM loyalty.player_loyalty",
        "TRUNCATE loyalty.player_loyalty CASCADE",
        "DELETE FROM loyalty.drift_schedule",
    ],
)
async def test_nobody_changes_or_removes_what_was_written(ledger: Seeded, statement: str) -> None:
    refused = {}
    for role in ROLES:
        async with context(ledger, OURS, role=role):
            refused[role] = await refusal(ledger, statement)

    assert refused == dict.fromkeys(ROLES, FORBIDDEN)


async def test_slips_are_opened_changed_and_recorded_by_the_roles_that_may(slips: Seeded) -> None:
    open_id, closed_id = (row("rating_slip", OURS, number)["id"] for number in (1, CLOSED))
    await close_slips(slips)
    found: dict[tuple[str, str], str | None] = {}
    for role in ROLES:
        async with context(slips, OURS, role=role):
            found["open", role] = await insert_refusal(slips, "rating_slip", OURS)
            found["change_open", role] = await change_refusal(slips, open_id)
            found["change_closed", role] = await change_refusal(slips, closed_id)
            found["record_play", role] = await insert_refusal(slips, "rating_slip_event", OURS)
            found["record_points", role] = await insert_refusal(
                slips, "rating_slip_event", OURS, kind="accrue"
            )
            found["record_failure", role] = await insert_refusal(
                slips, "rating_slip_event", OURS, kind="fail"
            )

    assert found == matrix(SLIP_MATRIX)


async def test_only_the_scheduler_sees_another_casinos_slips_and_only_those_without_points(
    slips: Seeded,
) -> None:
    await close_slips(slips)
    async with context(slips, THEIRS, role="pit_boss"):
        values = {**row("rating_slip", THEIRS, CLOSED + 1), **DUE, **REFUSED}
        await insert(slips.connection, RATINGSLIP, "rating_slip", values)
    seen: dict[str, list[tuple[uuid.UUID, str]]] = {}
    for role in ROLES:
        async with context(slips, NO_CASINO, role=role):
            rows = await slips.connection.fetch(
                "SELECT casino_id, loyalty_state FROM ratingslip.rating_slip ORDER BY 1, 2"
            )
            seen[role] = [(found["casino_id"], found["loyalty_state"]) for found in rows]
    async with context(slips, OURS, role="scheduler"):
        at_work = await casinos_seen(slips, "rating_slip")
    async with context(slips, NO_CASINO, role="scheduler"):
        changed = await slips.connection.execute(
            "UPDATE ratingslip.rating_slip SET recovery_attempt_count = 1"
        )

    unsettled = [(OURS, "PENDING"), (THEIRS, "PENDING"), (THEIRS, "REFUSED")]
    assert seen == {role: unsettled if role == "scheduler" else [] for role in ROLES}
    assert set(at_work) == {OURS}
    assert changed == "UPDATE 0"


async def close_slips(slips: Seeded) -> None:
    """Gives both casinos a slip that is closed and waits for its points."""
    for casino_id in (OURS, THEIRS):
        async with context(slips, casino_id, role="pit_boss"):
            values = row("rating_slip", casino_id, CLOSED)
            await insert(slips.connection, RATINGSLIP, "rating_slip", {**values, **DUE})


async def change_refusal(slips: Seeded, slip_id: object) -> str | None:
    """How a change of a slip is refused: with a SQLSTATE, or because there is no such slip."""
    statement = "UPDATE ratingslip.rating_slip SET seat_number = 2 WHERE id = $1 RETURNING id"
    transaction = slips.connection.transaction()
    await transaction.start()
    try:
        return None if await slips.connection.fetch(statement, slip_id) else UNSEEN
    except asyncpg.PostgresError as error:
        return error.sqlstate
    finally:
        await transaction.rollback()


def cells(text: str) -> dict[tuple[str, str], str]:
    """A matrix by line and role."""
    head, *lines = (line.split() for line in text.strip().splitlines())
    return {
        (name, role): cell
        for name, *row_cells in lines
        for role, cell in zip(head, row_cells, strict=True)
    }


def matrix(text: str) -> dict[tuple[str, str], str | None]:
    """A matrix as the refusals it promises, by line and role."""
    words = {"yes": None, UNSEEN: UNSEEN}
    return {key: words.get(cell, FORBIDDEN) for key, cell in cells(text).items()}
