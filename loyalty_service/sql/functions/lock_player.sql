-- Locks a player's row until the transaction ends and returns it; NULL when the
-- player has none. Every mutation locks this row first, then checks, then writes.
CREATE OR REPLACE FUNCTION loyalty.lock_player(
    p_casino_id  uuid,
    p_player_id  uuid
) RETURNS loyalty.player_loyalty
LANGUAGE sql
VOLATILE
AS $$
    SELECT p.*
    FROM loyalty.player_loyalty AS p
    WHERE p.casino_id = p_casino_id
        AND p.player_id = p_player_id
    FOR UPDATE
$$;
