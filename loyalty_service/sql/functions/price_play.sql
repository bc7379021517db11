-- What a stretch of play is worth to a player with some lifetime points, and every input
-- of that. The program in force when play began pays, its tier ladder included.
--
-- Raises 22003 when the points do not fit in 64 bits.
CREATE OR REPLACE FUNCTION loyalty.price_play(
    p_casino_id           uuid,
    p_lifetime_points     bigint,
    p_average_bet         numeric,
    p_currency_code       text,
    p_house_edge_percent  numeric,
    p_decisions_per_hour  integer,
    p_point_multiplier    numeric,
    p_duration_seconds    bigint,
    p_start_time          timestamptz,
    p_end_time            timestamptz,
    OUT points            bigint,
    OUT inputs            jsonb
)
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    program  CONSTANT loyalty.loyalty_program
        := loyalty.program_in_force(p_casino_id, p_start_time);
    rate     CONSTANT numeric
        := (loyalty.tier_standing(program.tiers, p_lifetime_points)).multiplier;
BEGIN
    points := loyalty.points_for_play(
        p_average_bet, p_house_edge_percent, p_decisions_per_hour, p_duration_seconds,
        program.points_per_unit, p_point_multiplier, rate, program.rounding
    );
    inputs := loyalty.accrual_inputs(
        p_average_bet, p_currency_code, p_house_edge_percent, p_decisions_per_hour,
        p_point_multiplier, p_duration_seconds, p_start_time, p_end_time, program, rate
    );
END
$$;
