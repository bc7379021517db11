-- What a stretch of play would earn a player as of now, by the very function that
-- prices an accrual; what was paid, when the slip has its entry. Writes nothing.
--
-- Raises LY001 (context), 22003 (the points do not fit in 64 bits).
CREATE OR REPLACE FUNCTION loyalty.suggest_points(
    p_casino_id           uuid,
    p_staff_id            uuid,
    p_role                text,
    p_correlation_id      text,
    p_player_id           uuid,
    p_rating_slip_id      uuid,
    p_average_bet         numeric,
    p_currency_code       text,
    p_house_edge_percent  numeric,
    p_decisions_per_hour  integer,
    p_point_multiplier    numeric,
    p_duration_seconds    bigint,
    p_start_time          timestamptz,
    p_end_time            timestamptz,
    OUT points            bigint,
    OUT entry_id          uuid,
    OUT current_balance   bigint,
    OUT tier              text,
    OUT tier_after        text,
    OUT metadata          jsonb
)
LANGUAGE plpgsql
AS $$
DECLARE
    player   loyalty.player_loyalty;
    paid     loyalty.loyalty_ledger;
    program  loyalty.loyalty_program;
    earned   bigint := 0;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    SELECT p.* INTO player
    FROM loyalty.player_loyalty AS p
    WHERE p.casino_id = p_casino_id
        AND p.player_id = p_player_id;
    current_balance := COALESCE(player.current_balance, 0);
    player.lifetime_points := COALESCE(player.lifetime_points, 0);
    paid := loyalty.find_slip_entry(p_casino_id, p_rating_slip_id);
    entry_id := paid.id;
    IF entry_id IS NOT NULL THEN
        points := paid.points_delta;
        metadata := paid.metadata;
    ELSE
        SELECT s.points, s.points, s.inputs INTO points, earned, metadata
        FROM loyalty.price_play(
            p_casino_id, player.lifetime_points,
            p_average_bet, p_currency_code, p_house_edge_percent, p_decisions_per_hour,
            p_point_multiplier, p_duration_seconds, p_start_time, p_end_time
        ) AS s;
    END IF;
    program := loyalty.program_in_force(p_casino_id, loyalty.present());
    tier := (loyalty.tier_standing(program.tiers, player.lifetime_points)).tier;
    tier_after := (loyalty.tier_standing(program.tiers, player.lifetime_points + earned)).tier;
END
$$;
