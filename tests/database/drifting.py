"""What a superuser's hand can put out of step with the ledger, the check, and its audit trail.

    player_id = await paid_player(ledger, casino_id)
    await BREAKAGES["balance row deleted"](superuser, casino_id, player_id)
    report = await check(ledger, casino_id)

It must not know what is right: the tests do.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from opentelemetry import metrics

from chassis.context import Role
from loyalty_service.drift import BalanceDriftCheck, DriftReport
from loyalty_service.ledger import Ledger
from tests.database.accruals import Row, SlipCredit, accrue_as_service, calling
from tests.database.rows import insert, row
from tests.databases import LOYALTY, Connection

STAFF_ID = uuid.UUID("8a7f3b52-51c1-4a0e-9d1c-1f7b6f1d2e01")
REASON = "the auditor asked for it"

Breakage = Callable[[Connection, uuid.UUID, uuid.UUID], Awaitable[None]]


async def paid_player(
    ledger: Ledger, casino_id: uuid.UUID, player_id: uuid.UUID | None = None
) -> uuid.UUID:
    """A player with 1050 points, from one slip."""
    credit = SlipCredit(casino_id, player_id or uuid.uuid4())
    await accrue_as_service(ledger, credit)
    return credit.player_id


async def move(
    superuser: Connection,
    casino_id: uuid.UUID,
    player_id: uuid.UUID,
    *,
    balance: int = 0,
    lifetime: int = 0,
) -> None:
    """Moves what is cached, and writes no entry for it."""
    await superuser.execute(
        """
        UPDATE loyalty.player_loyalty
        SET current_balance = current_balance + $3, lifetime_points = lifetime_points + $4
        WHERE casino_id = $1 AND player_id = $2
        """,
        casino_id,
        player_id,
        balance,
        lifetime,
    )


async def forge_entry(
    superuser: Connection,
    casino_id: uuid.UUID,
    player_id: uuid.UUID,
    number: int = 1,
    **changed: Any,
) -> None:
    """An entry of 100 points that no service wrote; it needs no balance row."""
    values = {
        **row("loyalty_ledger", casino_id, number),
        "id": uuid.uuid4(),
        "player_id": player_id,
        "source_id": uuid.uuid4(),
        "idempotency_key": str(uuid.uuid4()),
    }
    async with superuser.transaction():
        # Foreign keys are checked by triggers, which this leaves out.
        await superuser.execute("SET LOCAL session_replication_role = replica")
        await insert(superuser, LOYALTY, "loyalty_ledger", values, **changed)


async def _balance(superuser: Connection, casino_id: uuid.UUID, player_id: uuid.UUID) -> None:
    await move(superuser, casino_id, player_id, balance=-50)


async def _lifetime(superuser: Connection, casino_id: uuid.UUID, player_id: uuid.UUID) -> None:
    await move(superuser, casino_id, player_id, lifetime=50)


async def _both(superuser: Connection, casino_id: uuid.UUID, player_id: uuid.UUID) -> None:
    await move(superuser, casino_id, player_id, balance=7, lifetime=-9)


async def _tier(superuser: Connection, casino_id: uuid.UUID, player_id: uuid.UUID) -> None:
    await superuser.execute(
        "UPDATE loyalty.player_loyalty SET tier = 'GOLD' WHERE casino_id = $1 AND player_id = $2",
        casino_id,
        player_id,
    )


async def delete_balance(superuser: Connection, casino_id: uuid.UUID, player_id: uuid.UUID) -> None:
    """Leaves the entries without their balance row."""
    async with superuser.transaction():
        await superuser.execute("SET LOCAL session_replication_role = replica")
        await superuser.execute(
            "DELETE FROM loyalty.player_loyalty WHERE casino_id = $1 AND player_id = $2",
            casino_id,
            player_id,
        )


async def delete_entries(superuser: Connection, casino_id: uuid.UUID, player_id: uuid.UUID) -> None:
    """Leaves the balance row without its entries."""
    await superuser.execute(
        "DELETE FROM loyalty.loyalty_ledger WHERE casino_id = $1 AND player_id = $2",
        casino_id,
        player_id,
    )


async def _add_entry(superuser: Connection, casino_id: uuid.UUID, player_id: uuid.UUID) -> None:
    await forge_entry(superuser, casino_id, player_id, number=2)


# Of a player with 1050 points, from one entry.
BREAKAGES: Mapping[str, Breakage] = {
    "balance moved": _balance,
    "lifetime points moved": _lifetime,
    "both moved": _both,
    "tier moved": _tier,
    "balance row deleted": delete_balance,
    "entries deleted": delete_entries,
    "entry added": _add_entry,
}


async def insert_drifting_player(
    superuser: Connection, casino_id: uuid.UUID, points: int, player_id: uuid.UUID | None = None
) -> uuid.UUID:
    """A player whose points come from nowhere."""
    player_id = player_id or uuid.uuid4()
    await superuser.execute(
        """
        INSERT INTO loyalty.player_loyalty (
            casino_id, player_id, current_balance, lifetime_points, entry_count,
            created_time, updated_time, tier, head_hash
        )
        VALUES ($1, $2, $3, $3, 0, now(), now(), 'BRONZE', loyalty.first_hash())
        """,
        casino_id,
        player_id,
        points,
    )
    return player_id


async def check(
    ledger: Ledger,
    casino_id: uuid.UUID,
    player_id: uuid.UUID | None = None,
    *,
    role: Role = Role.ADMIN,
    meter: metrics.Meter | None = None,
) -> DriftReport:
    """Checks as the service does."""
    drift_check = BalanceDriftCheck(ledger, meter or metrics.NoOpMeter("test"))
    with calling(casino_id, STAFF_ID, role):
        return await drift_check.run(player_id)


async def reconcile(ledger: Ledger, casino_id: uuid.UUID, player_id: uuid.UUID) -> Row:
    """Repairs as the service does, with the finding as JSON says it."""
    with calling(casino_id, STAFF_ID, Role.ADMIN):
        repaired = dict(await ledger.reconcile_balance(player_id, REASON))
    return {**repaired, "finding": json.loads(repaired["finding"])}


async def audit_of(superuser: Connection, casino_id: uuid.UUID) -> list[Row]:
    """A casino's audit trail, oldest first, with before and after as JSON says them."""
    rows = await superuser.fetch(
        "SELECT * FROM loyalty.loyalty_audit WHERE casino_id = $1"
        " ORDER BY recorded_time, player_id",
        casino_id,
    )
    return [
        {
            **dict(found),
            "before": found["before"] and json.loads(found["before"]),
            "after": json.loads(found["after"]),
        }
        for found in rows
    ]
