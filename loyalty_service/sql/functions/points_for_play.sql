-- The points of a stretch of play, exact, rounded once at the end:
--
--   bet × edge/100 × decisions × seconds/3600 × per unit × game × tier
--
-- Everything is multiplied first and divided once: numeric multiplication is exact.
CREATE OR REPLACE FUNCTION loyalty.points_for_play(
    p_average_bet         numeric,
    p_house_edge_percent  numeric,
    p_decisions_per_hour  integer,
    p_duration_seconds    bigint,
    p_points_per_unit     numeric,
    p_point_multiplier    numeric,
    p_tier_multiplier     numeric,
    p_rounding            text
) RETURNS numeric
LANGUAGE sql
IMMUTABLE
AS $$
    -- 360000: 100 for the percent, 3600 for the hour.
    SELECT loyalty.rounded(
        p_average_bet * p_house_edge_percent * p_decisions_per_hour * p_duration_seconds
            * p_points_per_unit * p_point_multiplier * p_tier_multiplier,
        360000,
        p_rounding
    )
$$;
