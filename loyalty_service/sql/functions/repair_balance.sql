-- Gives a locked player's row these figures, or makes the row that is missing: then
-- with the number, the hash and the times of the entries.
--
-- The entry count and the head hash of a row that is there stay as they are: they say
-- how far the ledger reached, and would no longer show that its end was cut off.
--
-- Raises 23505, upon which the caller runs again, when somebody else makes the row.
CREATE OR REPLACE FUNCTION loyalty.repair_balance(
    p_is_missing  boolean,
    p_player      loyalty.player_loyalty
) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF p_is_missing THEN
        INSERT INTO loyalty.player_loyalty (
            casino_id, player_id, current_balance, lifetime_points, entry_count,
            created_time, updated_time, tier, head_hash
        )
        SELECT
            p_player.casino_id, p_player.player_id,
            p_player.current_balance, p_player.lifetime_points, l.entry_number,
            (
                SELECT f.recorded_time
                FROM loyalty.loyalty_ledger AS f
                WHERE f.casino_id = p_player.casino_id
                    AND f.player_id = p_player.player_id
                    AND f.entry_number = 1
            ),
            l.recorded_time, p_player.tier, l.hash
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_player.casino_id
            AND l.player_id = p_player.player_id
        ORDER BY l.entry_number DESC
        LIMIT 1;
    ELSE
        UPDATE loyalty.player_loyalty AS p
        SET current_balance = p_player.current_balance,
            lifetime_points = p_player.lifetime_points,
            tier = p_player.tier
        WHERE p.casino_id = p_player.casino_id
            AND p.player_id = p_player.player_id;
    END IF;
END
$$;
