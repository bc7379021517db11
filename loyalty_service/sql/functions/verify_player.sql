-- Verifies one player's entries after a number (0 is the beginning), in order and at
-- most p_limit of them; the entry with that number is read again as what they follow.
--
-- fault is NULL while everything fits; else entry_number and entry_id name the first
-- entry that does not, by one of these faults:
--   MISSING  the number is not there; entry_id is NULL
--   CONTENT  the entry is not what was hashed
--   LINK     it does not follow the entry before it
--   UNKNOWN  it is beyond the last entry that the player's row knows of
-- is_complete says that the chain holds to its end; without it and without a fault
-- there is more after last_number. A player without a row has no end to compare with.
--
-- STABLE, so that all of it sees one snapshot: an entry and its player's row are
-- written together, and a writer at work never looks like a fault.
CREATE OR REPLACE FUNCTION loyalty.verify_player(
    p_casino_id           uuid,
    p_player_id           uuid,
    p_after_number        bigint,
    p_limit               bigint,
    OUT entries_verified  bigint,
    OUT last_number       bigint,
    OUT is_complete       boolean,
    OUT entry_number      bigint,
    OUT entry_id          uuid,
    OUT fault             text
)
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    player    loyalty.player_loyalty;
    previous  loyalty.loyalty_ledger;
    entry     loyalty.loyalty_ledger;
BEGIN
    entries_verified := 0;
    last_number := p_after_number;
    is_complete := false;
    SELECT p.* INTO player
    FROM loyalty.player_loyalty AS p
    WHERE p.casino_id = p_casino_id
        AND p.player_id = p_player_id;
    previous := loyalty.chain_anchor(p_casino_id, p_player_id, p_after_number);
    FOR entry IN
        SELECT l.*
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_casino_id
            AND l.player_id = p_player_id
            AND l.entry_number > p_after_number
            AND previous.entry_number IS NOT NULL
        ORDER BY l.entry_number
        LIMIT p_limit
    LOOP
        entries_verified := entries_verified + 1;
        fault := CASE
            WHEN entry.entry_number > last_number + 1
                AND (last_number < player.entry_count) IS NOT FALSE THEN 'MISSING'
            WHEN loyalty.entry_hash(entry) IS DISTINCT FROM entry.hash THEN 'CONTENT'
            WHEN NOT loyalty.is_joined(previous, entry) THEN 'LINK'
            WHEN entry.entry_number > player.entry_count THEN 'UNKNOWN'
        END;
        IF fault IS NOT NULL THEN
            SELECT b.entry_number, b.entry_id, b.fault INTO entry_number, entry_id, fault
            FROM loyalty.locate_break(player.head_hash, previous, entry, fault) AS b;
            RETURN;
        END IF;
        previous := entry;
        last_number := entry.entry_number;
    END LOOP;
    IF entries_verified = p_limit THEN
        RETURN;
    END IF;
    SELECT e.entry_number, e.entry_id, e.fault INTO entry_number, entry_id, fault
    FROM loyalty.chain_end_fault(p_after_number, player, previous) AS e;
    is_complete := fault IS NULL;
END
$$;
