-- What is wrong at the end of a player's chain, once its last entry was read: entries
-- are missing, or the last one is not what the player's row was left with. fault is
-- NULL when nothing is, or when there is no row.
CREATE OR REPLACE FUNCTION loyalty.chain_end_fault(
    p_after_number    bigint,
    p_player          loyalty.player_loyalty,
    p_last            loyalty.loyalty_ledger,
    OUT entry_number  bigint,
    OUT entry_id      uuid,
    OUT fault         text
)
LANGUAGE plpgsql
IMMUTABLE
AS $$
BEGIN
    IF p_last.entry_number IS NULL THEN
        -- The entry that was to be followed has gone since it was verified.
        entry_number := p_after_number;
        fault := 'MISSING';
    ELSIF p_player.entry_count > p_last.entry_number
        OR (p_last.entry_number = 0 AND p_player.head_hash <> p_last.hash)
    THEN
        entry_number := p_last.entry_number + 1;
        fault := 'MISSING';
    ELSIF p_player.head_hash <> p_last.hash THEN
        entry_number := p_last.entry_number;
        entry_id := p_last.id;
        fault := 'CONTENT';
    END IF;
END
$$;
