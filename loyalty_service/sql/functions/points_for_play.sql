-- The points of a stretch of play, exact, rounded once at the end:
--
--   bet × edge/100 × decisions × seconds/3600 × per unit × game × tier
--
-- Everything is multiplied first and divided once: numeric multiplication is
-- exact, and div() and mod() are exact too, where a quotient of thirds is not.
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
LANGUAGE plpgsql
IMMUTABLE
AS $$
DECLARE
    -- 100 for the percent, 3600 for the hour.
    divisor    CONSTANT numeric := 360000;
    dividend   CONSTANT numeric := p_average_bet * p_house_edge_percent * p_decisions_per_hour
        * p_duration_seconds * p_points_per_unit * p_point_multiplier * p_tier_multiplier;
    remainder  CONSTANT numeric := mod(dividend, divisor);
BEGIN
    RETURN div(dividend, divisor) + CASE p_rounding
        WHEN 'floor'   THEN 0
        WHEN 'nearest' THEN (2 * remainder >= divisor)::integer
        WHEN 'ceil'    THEN (remainder > 0)::integer
    END;
END
$$;
