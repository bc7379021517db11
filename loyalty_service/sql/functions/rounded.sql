-- A quotient that is not negative, as a whole number: down, to the nearest with
-- halves away from zero, or up. div() and mod() are exact, where a quotient of
-- thirds is not.
CREATE OR REPLACE FUNCTION loyalty.rounded(
    p_dividend  numeric,
    p_divisor   numeric,
    p_rounding  text
) RETURNS numeric
LANGUAGE plpgsql
IMMUTABLE
AS $$
DECLARE
    remainder  CONSTANT numeric := mod(p_dividend, p_divisor);
BEGIN
    RETURN div(p_dividend, p_divisor) + CASE p_rounding
        WHEN 'floor'   THEN 0
        WHEN 'nearest' THEN (2 * remainder >= p_divisor)::integer
        WHEN 'ceil'    THEN (remainder > 0)::integer
    END;
END
$$;
