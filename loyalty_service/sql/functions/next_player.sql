-- The casino's next player after one, in the order of their IDs; its first when that
-- is NULL, and NULL behind its last. Whoever has an entry counts, with a row or without.
CREATE OR REPLACE FUNCTION loyalty.next_player(
    p_casino_id     uuid,
    p_after_player  uuid
) RETURNS uuid
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    -- Variables and no expressions: behind a policy an index is searched for what
    -- cannot leak only, and PostgreSQL holds COALESCE to be able to.
    from_player   CONSTANT uuid
        := COALESCE(p_after_player, '00000000-0000-0000-0000-000000000000');
    -- Behind a player's last possible entry, so that the index leaves all of them out.
    after_number  CONSTANT bigint
        := CASE WHEN p_after_player IS NULL THEN 0 ELSE 9223372036854775807 END;
    with_row      uuid;
    with_entry    uuid;
BEGIN
    SELECT p.player_id INTO with_row
    FROM loyalty.player_loyalty AS p
    WHERE p.casino_id = p_casino_id
        AND p.player_id >= from_player
        AND p.player_id IS DISTINCT FROM p_after_player
    ORDER BY p.player_id
    LIMIT 1;
    SELECT l.player_id INTO with_entry
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND (l.player_id, l.entry_number) > (from_player, after_number)
    ORDER BY l.player_id, l.entry_number
    LIMIT 1;
    RETURN LEAST(with_row, with_entry);
END
$$;
