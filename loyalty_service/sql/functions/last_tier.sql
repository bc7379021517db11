-- The tier that a player's last entry has left the player in; NULL without an entry.
CREATE OR REPLACE FUNCTION loyalty.last_tier(
    p_casino_id  uuid,
    p_player_id  uuid
) RETURNS text
LANGUAGE sql
STABLE
AS $$
    SELECT l.tier_after
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.player_id = p_player_id
    ORDER BY l.entry_number DESC
    LIMIT 1
$$;
