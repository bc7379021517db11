-- Says which entry is to blame where the walk along a chain came upon a fault: the
-- one it stands at, or one before it that the later ones know nothing of.
--
-- Whoever rewrites an entry and its hash leaves the break at the entry after it. What
-- the chain goes on from vouches for an entry; so when the entry of the fault is
-- vouched for, the one before it was replaced.
CREATE OR REPLACE FUNCTION loyalty.locate_break(
    p_head_hash       bytea,
    p_previous        loyalty.loyalty_ledger,
    p_entry           loyalty.loyalty_ledger,
    p_fault           text,
    OUT entry_number  bigint,
    OUT entry_id      uuid,
    OUT fault         text
)
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    -- No further back, so that a fault costs no more than a stretch of good entries.
    most_inserted  CONSTANT bigint := 1000;
    intruder       loyalty.loyalty_ledger;
BEGIN
    entry_number := p_entry.entry_number;
    entry_id := p_entry.id;
    fault := p_fault;
    IF p_fault = 'MISSING' THEN
        entry_number := p_previous.entry_number + 1;
        entry_id := NULL;
    ELSIF p_fault = 'CONTENT' THEN
        -- Was it pushed up by another one, which stands in its place now?
        SELECT l.* INTO intruder
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_entry.casino_id
            AND l.player_id = p_entry.player_id
            AND l.entry_number < p_entry.entry_number
            AND l.entry_number >= p_entry.entry_number - most_inserted
            AND l.previous_hash = p_entry.previous_hash
        ORDER BY l.entry_number
        LIMIT 1;
        p_entry.entry_number := intruder.entry_number;
        IF intruder.id IS NOT NULL AND loyalty.entry_hash(p_entry) = p_entry.hash THEN
            entry_number := intruder.entry_number;
            entry_id := intruder.id;
        END IF;
    ELSIF p_fault = 'LINK' AND p_previous.entry_number > 0
        AND p_entry.previous_hash <> p_previous.hash
        AND loyalty.is_vouched_for(p_head_hash, p_entry)
    THEN
        entry_number := p_previous.entry_number;
        entry_id := p_previous.id;
        fault := 'CONTENT';
    END IF;
END
$$;
