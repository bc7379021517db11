"""What a superuser can do to a ledger: words for it, for one transaction on one connection.

    await prepare_damage(superuser, casino_id, player_id)
    await superuser.execute("DELETE FROM entry WHERE entry_number = 4")

`entry` and `player` are the player's rows; `pg_temp.copy_entry`, `renumber` and
`rehash` are for whoever covers up. Nothing that guards the tables is left: no check,
no trigger, and so no foreign key.
"""

from __future__ import annotations

import uuid

from tests.databases import Connection

_GUARDS = """
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS statement
    FROM pg_catalog.pg_constraint
    WHERE contype = 'c'
        AND conrelid IN ('loyalty.loyalty_ledger'::regclass, 'loyalty.player_loyalty'::regclass)
"""

# The IDs are UUIDs and need no quoting.
_WORDS = """
SET LOCAL session_replication_role = replica;

CREATE TEMPORARY VIEW entry AS
    SELECT * FROM loyalty.loyalty_ledger
    WHERE casino_id = '{casino_id}' AND player_id = '{player_id}';
CREATE TEMPORARY VIEW player AS
    SELECT * FROM loyalty.player_loyalty
    WHERE casino_id = '{casino_id}' AND player_id = '{player_id}';

-- Moves the entries from a number on up by some, or down.
CREATE FUNCTION pg_temp.renumber(first bigint, distance bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Far away first, so that no two have the same number on the way.
    UPDATE entry SET entry_number = entry_number + 1000000 WHERE entry_number >= first;
    UPDATE entry SET entry_number = entry_number - 1000000 + distance
    WHERE entry_number >= 1000000;
END
$$;

-- Puts a copy of an entry, under an ID and a key of its own, where there is room for it.
CREATE FUNCTION pg_temp.copy_entry(original bigint, number bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    copied  loyalty.loyalty_ledger;
BEGIN
    SELECT * INTO copied FROM entry WHERE entry_number = original;
    copied.id := gen_random_uuid();
    copied.idempotency_key := copied.id;
    copied.source_id := copied.id;
    copied.reversed_entry_id := NULL;
    copied.entry_number := number;
    INSERT INTO loyalty.loyalty_ledger VALUES (copied.*);
END
$$;

-- Makes these entries follow the one before them in every respect, one after the other.
CREATE FUNCTION pg_temp.rehash(first bigint, last bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    forged    loyalty.loyalty_ledger;
    previous  loyalty.loyalty_ledger;
    earned    bigint;
BEGIN
    FOR number IN first .. last LOOP
        SELECT * INTO previous FROM entry WHERE entry_number = number - 1;
        SELECT * INTO forged FROM entry WHERE entry_number = number;
        earned := forged.lifetime_after - forged.lifetime_before;
        forged.balance_before := COALESCE(previous.balance_after, 0);
        forged.balance_after := forged.balance_before + forged.points_delta;
        forged.lifetime_before := COALESCE(previous.lifetime_after, 0);
        forged.lifetime_after := forged.lifetime_before + earned;
        forged.tier_before := COALESCE(previous.tier_after, forged.tier_before);
        forged.previous_hash := COALESCE(previous.hash, loyalty.first_hash());
        DELETE FROM entry WHERE entry_number = number;
        forged.hash := loyalty.entry_hash(forged);
        INSERT INTO loyalty.loyalty_ledger VALUES (forged.*);
    END LOOP;
END
$$;
"""


async def prepare_damage(superuser: Connection, casino_id: uuid.UUID, player_id: uuid.UUID) -> None:
    """Defines the words, until the transaction ends."""
    for row in await superuser.fetch(_GUARDS):
        await superuser.execute(row["statement"])
    await superuser.execute(_WORDS.format(casino_id=casino_id, player_id=player_id))
