"""One valid row for every table of both services, to try what may be read and written.

`row(table, casino_id, number)` gives different rows for different numbers; rows that
refer to others refer to number 1 of the same casino.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal

from tests.databases import Connection, Service

Values = Mapping[str, object]

MOMENT = datetime.datetime(2024, 6, 1, 20, 0, tzinfo=datetime.UTC)
FINGERPRINT = bytes(32)
HASH = bytes(32)
# A role that may write these rows, by table.
WRITING_ROLE = {
    "loyalty_program": "admin",
    "player_loyalty": "service",
    "loyalty_ledger": "service",
    "loyalty_audit": "admin",
    "drift_schedule": "scheduler",
    "rating_slip": "pit_boss",
    "rating_slip_event": "pit_boss",
}
# Tables that hold one row for each casino, so that a second one is a duplicate.
ONE_A_CASINO = {"drift_schedule"}


def staff_of(casino_id: uuid.UUID) -> uuid.UUID:
    """The staff member who wrote a casino's rows."""
    return identity(casino_id, "staff", 1)


def identity(casino_id: uuid.UUID, kind: str, number: int) -> uuid.UUID:
    """The same ID for the same thing, another for any other."""
    return uuid.uuid5(casino_id, f"{kind} {number}")


def row(table: str, casino_id: uuid.UUID, number: int) -> Values:
    """A valid row; raises `KeyError` for a table without one, which then is to be added here."""
    return {"casino_id": casino_id, **_ROWS[table](casino_id, number)}


async def insert(
    connection: Connection, service: Service, table: str, values: Values, **changed: object
) -> None:
    """Inserts a row, with some columns changed."""
    values = {**values, **changed}
    columns = ", ".join(values)
    places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
    await connection.execute(
        f"INSERT INTO {service.name}.{table} ({columns}) VALUES ({places})", *values.values()
    )


async def insert_first_rows(
    superuser: Connection, service: Service, tables: list[str], casino_id: uuid.UUID
) -> None:
    """Gives a casino row number 1 of each table, whatever their order."""
    async with superuser.transaction():
        # Foreign keys are checked by triggers, which this leaves out.
        await superuser.execute("SET LOCAL session_replication_role = replica")
        for table in tables:
            await insert(superuser, service, table, row(table, casino_id, 1))


def _program(casino_id: uuid.UUID, number: int) -> Values:
    return {
        "version": number,
        "effective_time": MOMENT + datetime.timedelta(days=number),
        "points_per_unit": Decimal(10),
        "rounding": "floor",
        "tiers": [("BRONZE", 0, Decimal(1))],
        "overdraw_floor": -5000,
        "time_zone": "UTC",
        "gaming_day_start": datetime.time(6),
        "created_time": MOMENT,
        "created_by_staff_id": staff_of(casino_id),
    }


def _player(casino_id: uuid.UUID, number: int) -> Values:
    return {
        "player_id": identity(casino_id, "player", number),
        "current_balance": 1000,
        "lifetime_points": 1000,
        "entry_count": 1,
        "created_time": MOMENT,
        "updated_time": MOMENT,
        "tier": "SILVER",
        "head_hash": HASH,
    }


def _entry(casino_id: uuid.UUID, number: int) -> Values:
    return {
        "id": identity(casino_id, "entry", number),
        "player_id": identity(casino_id, "player", 1),
        "entry_number": number,
        "points_delta": 100,
        "balance_before": 0,
        "balance_after": 100,
        "lifetime_before": 0,
        "lifetime_after": 100,
        "recorded_time": MOMENT,
        "effective_time": MOMENT,
        "gaming_day": MOMENT.date(),
        "tier_progress_percent": 10,
        "source_id": identity(casino_id, "slip", number),
        "staff_id": staff_of(casino_id),
        "reason": "base_accrual",
        "source_kind": "rating_slip",
        "tier_before": "BRONZE",
        "tier_after": "BRONZE",
        "correlation_id": "correlation-1",
        "idempotency_key": f"key-{number}",
        "fingerprint": FINGERPRINT,
        "previous_hash": HASH,
        "hash": HASH,
    }


def _schedule(casino_id: uuid.UUID, number: int) -> Values:
    return {"next_time": MOMENT}


def _audit(casino_id: uuid.UUID, number: int) -> Values:
    return {
        "id": identity(casino_id, "audit", number),
        "staff_id": staff_of(casino_id),
        "recorded_time": MOMENT,
        "role": "admin",
        "action": "update_loyalty_program",
        "correlation_id": "correlation-1",
    }


def _slip(casino_id: uuid.UUID, number: int) -> Values:
    return {
        "id": identity(casino_id, "slip", number),
        "player_id": identity(casino_id, "player", number),
        "visit_id": identity(casino_id, "visit", number),
        "table_id": identity(casino_id, "table", number),
        "seat_number": 1,
        "event_count": 1,
        "created_time": MOMENT,
        "updated_time": MOMENT,
        "status": "OPEN",
        "start_time": MOMENT,
        "last_event_time": MOMENT,
        "running_since": MOMENT,
        "played_seconds": Decimal(0),
        "currency_code": "USD",
        "average_bet": Decimal(100),
        "game_name": "blackjack",
        "house_edge_percent": Decimal("1.5"),
        "decisions_per_hour": 70,
        "point_multiplier": Decimal(1),
        "started_by_staff_id": staff_of(casino_id),
        "loyalty_state": "NONE",
    }


def _slip_event(casino_id: uuid.UUID, number: int) -> Values:
    return {
        "rating_slip_id": identity(casino_id, "slip", 1),
        "event_number": number,
        "event_time": MOMENT,
        "recorded_time": MOMENT,
        "staff_id": staff_of(casino_id),
        "kind": "start",
        "correlation_id": "correlation-1",
        "average_bet": Decimal(100),
    }


_ROWS: Mapping[str, Callable[[uuid.UUID, int], Values]] = {
    "loyalty_program": _program,
    "player_loyalty": _player,
    "loyalty_ledger": _entry,
    "loyalty_audit": _audit,
    "drift_schedule": _schedule,
    "rating_slip": _slip,
    "rating_slip_event": _slip_event,
}
