-- Raises LY014 unless a locked player's row is what the player's last entry left
-- behind, or a new one, without points, of a player without entries. What is cached
-- may be wrong, and the ledger must not be built on it.
CREATE OR REPLACE FUNCTION loyalty.refuse_drifted_balance(
    p_player  loyalty.player_loyalty
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    last    loyalty.loyalty_ledger;
    agrees  boolean;
BEGIN
    SELECT l.* INTO last
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_player.casino_id
        AND l.player_id = p_player.player_id
        AND l.entry_number = GREATEST(p_player.entry_count, 1);
    agrees := CASE p_player.entry_count
        WHEN 0 THEN last.id IS NULL
            AND p_player.current_balance = 0
            AND p_player.lifetime_points = 0
        ELSE last.id IS NOT NULL
            AND last.hash = p_player.head_hash
            AND last.balance_after = p_player.current_balance
            AND last.lifetime_after = p_player.lifetime_points
            AND last.tier_after = p_player.tier
    END;
    IF NOT agrees THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY014',
            MESSAGE = 'the balance is not what the ledger says',
            DETAIL = json_build_object('playerId', p_player.player_id);
    END IF;
END
$$;
