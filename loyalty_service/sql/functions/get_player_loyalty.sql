-- A player's standing. No row means that no entry was ever written for the player.
CREATE OR REPLACE FUNCTION loyalty.get_player_loyalty(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text,
    p_player_id       uuid
) RETURNS TABLE (
    player_id         uuid,
    current_balance   bigint,
    lifetime_points   bigint,
    tier              text,
    progress_percent  integer,
    next_tier         text,
    points_to_next    bigint,
    entry_count       bigint,
    created_time      timestamptz,
    updated_time      timestamptz
)
LANGUAGE plpgsql
AS $$
DECLARE
    program  loyalty.loyalty_program;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    program := loyalty.program_in_force(p_casino_id, loyalty.present());
    RETURN QUERY
    SELECT
        p.player_id, p.current_balance, p.lifetime_points,
        s.tier, s.progress_percent, s.next_tier, s.points_to_next,
        p.entry_count, p.created_time, p.updated_time
    FROM loyalty.player_loyalty AS p,
        loyalty.tier_standing(program.tiers, p.lifetime_points) AS s
    WHERE p.casino_id = p_casino_id
        AND p.player_id = p_player_id;
END
$$;
