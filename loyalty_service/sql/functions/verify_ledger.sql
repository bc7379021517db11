-- Verifies the entries of a casino's players, or of one, from a position on, and says
-- where to go on: with next_player's entries after next_number, or nowhere when
-- next_player is NULL. The beginning is NULL and 0.
--
-- It reads at most p_limit entries, and finds at most p_break_limit breaks. A player
-- costs one entry more, so that many with few entries do not make a long call. A break
-- ends the walk along its player, and the next one follows.
--
-- Raises LY001 (context).
CREATE OR REPLACE FUNCTION loyalty.verify_ledger(
    p_casino_id           uuid,
    p_staff_id            uuid,
    p_role                text,
    p_correlation_id      text,
    p_player_id           uuid,
    p_from_player         uuid,
    p_after_number        bigint,
    p_limit               bigint,
    p_break_limit         integer,
    OUT entries_verified  bigint,
    OUT players_verified  bigint,
    OUT breaks            loyalty.chain_break[],
    OUT next_player       uuid,
    OUT next_number       bigint
)
LANGUAGE plpgsql
AS $$
DECLARE
    budget  bigint := p_limit;
    walk    record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entries_verified := 0;
    players_verified := 0;
    breaks := '{}';
    next_player := COALESCE(
        p_from_player, p_player_id, loyalty.next_player(p_casino_id, NULL)
    );
    next_number := p_after_number;
    WHILE next_player IS NOT NULL AND budget > 0 AND cardinality(breaks) < p_break_limit LOOP
        walk := loyalty.verify_player(p_casino_id, next_player, next_number, budget);
        entries_verified := entries_verified + walk.entries_verified;
        budget := budget - walk.entries_verified - 1;
        next_number := walk.last_number;
        -- A player without any entry was not verified.
        IF walk.is_complete AND walk.last_number > 0 THEN
            players_verified := players_verified + 1;
        ELSIF walk.fault IS NOT NULL THEN
            breaks := breaks || ROW(
                next_player, walk.entry_number, walk.entry_id, walk.fault
            )::loyalty.chain_break;
        END IF;
        IF walk.is_complete OR walk.fault IS NOT NULL THEN
            next_player := CASE
                WHEN p_player_id IS NULL THEN loyalty.next_player(p_casino_id, next_player)
            END;
            next_number := 0;
        END IF;
    END LOOP;
END
$$;
