"""Whatever is damaged in the databases by hand, a check of the kit finds it.

One workload without a fault is the ground. Every damage is done in a transaction that is
rolled back, and judged by what that transaction sees.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from tests.database.damage import prepare_damage
from tests.databases import LOYALTY, RATINGSLIP, Connection
from tests.fault.evidence import read_evidence
from tests.fault.ground import Ground, require_found
from tests.fault.invariants import judged

# What is cached of the player, as if the entries had always been as they are.
COVER_UP = """
    UPDATE player SET (current_balance, lifetime_points, tier, entry_count, head_hash) = (
        SELECT balance_after, lifetime_after, tier_after, entry_number, hash
        FROM entry ORDER BY entry_number DESC LIMIT 1
    );
"""
# {last} is the number of the player's last entry, {keyed} of one that is no slip's.
LEDGER_DAMAGE = {
    "an entry is gone": (
        "DELETE FROM entry WHERE entry_number = 2",
        "it was acknowledged, and it is missing",
    ),
    "an entry is gone, and the numbers have a gap": (
        "DELETE FROM entry WHERE entry_number = 2",
        "its number should be 2",
    ),
    "the last entry is gone, with all that knew of it": (
        "DELETE FROM entry WHERE entry_number = {last};" + COVER_UP,
        "it was acknowledged, and it is missing",
    ),
    "the balance is another than the sum": (
        "UPDATE player SET current_balance = current_balance + 1",
        "and the entries sum up to",
    ),
    "the balance is gone": ("DELETE FROM player", "has entries and no balance"),
    "the cached count is behind": (
        "UPDATE player SET entry_count = entry_count - 1",
        "and the last entry at",
    ),
    "an entry is there twice": (
        "SELECT pg_temp.copy_entry(2, {last} + 1);"
        "SELECT pg_temp.rehash({last} + 1, {last} + 1);" + COVER_UP,
        "nobody asked for entry",
    ),
    "an idempotency key is there twice": (
        "ALTER TABLE loyalty.loyalty_ledger"
        " DROP CONSTRAINT loyalty_ledger_casino_id_idempotency_key_key;"
        "SELECT pg_temp.copy_entry({keyed}, {last} + 1);"
        "UPDATE entry SET idempotency_key = (SELECT idempotency_key FROM entry"
        " WHERE entry_number = {keyed}) WHERE entry_number = {last} + 1",
        "it is there 2 times",
    ),
    "points were changed, and everything after them": (
        "UPDATE entry SET points_delta = points_delta + 1, lifetime_after = lifetime_after + 1"
        " WHERE entry_number = 1; SELECT pg_temp.rehash(1, {last});" + COVER_UP,
        "the answer was",
    ),
    "an entry does not make what it says": (
        "UPDATE entry SET balance_after = balance_after + 1 WHERE entry_number = 2",
        "before and points do not make after",
    ),
    "an entry stands on another balance": (
        "UPDATE entry SET balance_before = 7, balance_after = 7 + points_delta"
        " WHERE entry_number = 2",
        "it stands on",
    ),
    "an entry's content was changed": (
        "UPDATE entry SET note = 'Nothing to see here' WHERE entry_number = 2",
        "its hash is not that of its content",
    ),
    "a hash was made new, and the next entry's was not": (
        "UPDATE entry SET note = 'Nothing to see here' WHERE entry_number = 2;"
        "UPDATE entry SET hash = loyalty.entry_hash(l) FROM loyalty.loyalty_ledger AS l"
        " WHERE l.id = entry.id AND entry.entry_number = 2",
        "it does not join the entry before it",
    ),
    "first and last have changed places": (
        "UPDATE entry SET entry_number = -entry_number WHERE entry_number IN (1, {last});"
        "UPDATE entry SET entry_number = {last} + 1 + entry_number WHERE entry_number < 0;"
        "SELECT pg_temp.rehash(1, {last});" + COVER_UP,
        "and comes after it",
    ),
    "an entry has become another player's": (
        "UPDATE entry SET player_id = gen_random_uuid() WHERE entry_number = {keyed}",
        "is not what was asked for",
    ),
    "an entry has become another casino's": (
        "UPDATE entry SET casino_id = '{other_casino}', idempotency_key = gen_random_uuid()"
        " WHERE entry_number = {last}",
        "nobody asked for entry",
    ),
    "more was spent than the floor allows": (
        "SELECT pg_temp.copy_entry({last}, {last} + 1);"
        "UPDATE entry SET reason = 'redemption', points_delta = -1000000"
        " WHERE entry_number = {last} + 1;"
        "SELECT pg_temp.rehash({last} + 1, {last} + 1);" + COVER_UP,
        "is below the floor",
    ),
}
# {slip} is a closed slip that was paused on the way, {open} none that anybody opened.
SLIP_DAMAGE = {
    "a slip is gone": (
        "DELETE FROM ratingslip.rating_slip WHERE id = '{slip}'",
        "there is no such slip",
    ),
    "a slip is gone, and its points are there": (
        "DELETE FROM ratingslip.rating_slip WHERE id = '{slip}'",
        "nobody asked for entry",
    ),
    "a slip is still waiting for its points": (
        "UPDATE ratingslip.rating_slip SET loyalty_state = 'PENDING' WHERE id = '{slip}'",
        "is closed and PENDING",
    ),
    "a slip was refused its points": (
        "UPDATE ratingslip.rating_slip SET loyalty_state = 'REFUSED',"
        " loyalty_refusal_reason = 'POINTS_OUT_OF_RANGE' WHERE id = '{slip}'",
        "is closed and REFUSED POINTS_OUT_OF_RANGE",
    ),
    "a slip that was paid is open": (
        "UPDATE ratingslip.rating_slip SET status = 'OPEN' WHERE id = '{slip}'",
        "is OPEN and was paid",
    ),
    "a slip knows another entry": (
        "UPDATE ratingslip.rating_slip SET loyalty_entry_id = gen_random_uuid()"
        " WHERE id = '{slip}'",
        "and the ledger says",
    ),
    "a slip knows other points": (
        "UPDATE ratingslip.rating_slip SET loyalty_points_delta = loyalty_points_delta + 1"
        " WHERE id = '{slip}'",
        "and the ledger says",
    ),
    "a slip was worth more": (
        "UPDATE ratingslip.rating_slip SET duration_seconds = duration_seconds + 3600"
        " WHERE id = '{slip}'",
        "and was paid",
    ),
    "a slip was closed at another time": (
        "UPDATE ratingslip.rating_slip SET end_time = end_time + interval '1 second'"
        " WHERE id = '{slip}'",
        "it was not closed as it was asked for",
    ),
    "a slip was closed by somebody else": (
        "UPDATE ratingslip.rating_slip SET closed_by_staff_id = gen_random_uuid()"
        " WHERE id = '{slip}'",
        "was paid in another name",
    ),
    "a pause is gone": (
        "DELETE FROM ratingslip.rating_slip_event"
        " WHERE rating_slip_id = '{slip}' AND kind = 'pause'",
        "it was acknowledged, and it is missing",
    ),
    "a bet was changed": (
        "UPDATE ratingslip.rating_slip_event SET average_bet = average_bet + 1"
        " WHERE rating_slip_id = '{slip}' AND kind = 'start'",
        "is not what was asked for",
    ),
    "a slip is there without a start": (
        "DELETE FROM ratingslip.rating_slip_event WHERE rating_slip_id = '{slip}'",
        "nobody has started it",
    ),
    "start and pause have changed places": (
        "UPDATE ratingslip.rating_slip_event"
        " SET event_number = CASE kind WHEN 'start' THEN 1002 ELSE 1001 END"
        " WHERE rating_slip_id = '{slip}' AND kind IN ('start', 'pause')",
        "and comes after it",
    ),
    "a slip has recorded its points again": (
        "INSERT INTO ratingslip.rating_slip_event (casino_id, rating_slip_id, event_number,"
        " event_time, recorded_time, staff_id, kind, correlation_id, average_bet)"
        " SELECT casino_id, rating_slip_id, 1000, event_time, recorded_time, staff_id, kind,"
        " correlation_id, average_bet FROM ratingslip.rating_slip_event"
        " WHERE rating_slip_id = '{slip}' AND kind = 'accrue'",
        "has recorded its points 2 times",
    ),
    "somebody has done what nobody asked for": (
        "UPDATE ratingslip.rating_slip_event SET idempotency_key = 'of nobody'"
        " WHERE rating_slip_id = '{slip}' AND kind = 'pause'",
        "nobody asked for pause",
    ),
}


@pytest.fixture
async def loyalty(ground: Ground) -> AsyncIterator[Connection]:
    """A superuser of Loyalty's database, whose deeds are undone."""
    async with ground.stage.superuser(LOYALTY) as superuser:
        transaction = superuser.transaction()
        await transaction.start()
        yield superuser
        await transaction.rollback()


@pytest.fixture
async def ratingslip(ground: Ground) -> AsyncIterator[Connection]:
    """The same of RatingSlip's, unhindered by any check."""
    async with ground.stage.superuser(RATINGSLIP) as superuser:
        transaction = superuser.transaction()
        await transaction.start()
        await superuser.execute("SET LOCAL session_replication_role = replica")
        for row in await superuser.fetch(
            "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)"
            " FROM pg_catalog.pg_constraint"
            " WHERE contype = 'c' AND connamespace = 'ratingslip'::regnamespace"
        ):
            await superuser.execute(row[0])
        yield superuser
        await transaction.rollback()


def test_nothing_is_found_where_nothing_is_damaged(ground: Ground) -> None:
    assert list(judged(ground.evidence, ground.history)) == []


@pytest.mark.parametrize(("statements", "finding"), LEDGER_DAMAGE.values(), ids=[*LEDGER_DAMAGE])
async def test_a_damaged_ledger_is_found(
    statements: str,
    finding: str,
    ground: Ground,
    loyalty: Connection,
    ratingslip: Connection,
) -> None:
    casino_id, player_id, last = ground.longest_chain()
    (other_casino,) = ground.history.casino_ids - {casino_id}
    await prepare_damage(loyalty, uuid.UUID(casino_id), uuid.UUID(player_id))

    numbers = {"last": last, "keyed": ground.keyed_entry(casino_id, player_id)}
    await loyalty.execute(statements.format(**numbers, other_casino=other_casino))

    evidence = await read_evidence(loyalty, ratingslip)
    require_found(finding, list(judged(evidence, ground.history)))


@pytest.mark.parametrize(("statements", "finding"), SLIP_DAMAGE.values(), ids=[*SLIP_DAMAGE])
async def test_a_damaged_slip_is_found(
    statements: str,
    finding: str,
    ground: Ground,
    loyalty: Connection,
    ratingslip: Connection,
) -> None:
    await ratingslip.execute(statements.format(slip=ground.paused_slip()))

    evidence = await read_evidence(loyalty, ratingslip)
    require_found(finding, list(judged(evidence, ground.history)))


async def test_a_slip_that_was_paid_twice_is_found(
    ground: Ground, loyalty: Connection, ratingslip: Connection
) -> None:
    casino_id, player_id, last = ground.longest_chain()
    await prepare_damage(loyalty, uuid.UUID(casino_id), uuid.UUID(player_id))
    await loyalty.execute(
        f"""
        DROP INDEX loyalty.loyalty_ledger_pays_slip_once;
        SELECT pg_temp.copy_entry(entry_number, {last} + 1) FROM entry
        WHERE reason = 'base_accrual' ORDER BY entry_number LIMIT 1;
        UPDATE entry SET source_id = rating_slip_id WHERE entry_number = {last} + 1;
        SELECT pg_temp.rehash({last} + 1, {last} + 1);
        {COVER_UP}
        """
    )

    evidence = await read_evidence(loyalty, ratingslip)
    require_found("was paid 2 times", list(judged(evidence, ground.history)))
