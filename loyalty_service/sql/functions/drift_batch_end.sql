-- The last player of a batch that begins after p_after_player (NULL is the
-- beginning): whoever has its p_player_limit-th balance or its p_entry_limit-th
-- entry, whichever comes first. NULL when all that is left fits into the batch.
--
-- Both are counted, because a casino that has lost its balance rows must not become
-- one endless batch, and neither must one with long ledgers. A player is never split.
CREATE OR REPLACE FUNCTION loyalty.drift_batch_end(
    p_casino_id     uuid,
    p_after_player  uuid,
    p_player_limit  integer,
    p_entry_limit   integer
) RETURNS uuid
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
-- Walks the index no further than the batch. Without statistics it would look as cheap
-- to read and sort all that is left, batch after batch.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
BEGIN
    -- LEAST passes over a NULL.
    RETURN LEAST(
        (
            SELECT p.player_id
            FROM loyalty.player_loyalty AS p
            WHERE p.casino_id = p_casino_id
                AND (p_after_player IS NULL OR p.player_id > p_after_player)
            ORDER BY p.player_id
            OFFSET p_player_limit - 1
            LIMIT 1
        ),
        (
            SELECT l.player_id
            FROM loyalty.loyalty_ledger AS l
            WHERE l.casino_id = p_casino_id
                AND (p_after_player IS NULL OR l.player_id > p_after_player)
            ORDER BY l.player_id, l.entry_number
            OFFSET p_entry_limit - 1
            LIMIT 1
        )
    );
END
$$;
