-- How many closed slips have no points, by where those are (PENDING or REFUSED), and how
-- long the oldest has waited. It is asked of all casinos at once, for the gauges; its caller is
-- of no casino, and a policy of its own shows it those slips.
CREATE OR REPLACE FUNCTION ratingslip.count_unsettled_slips(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text
) RETURNS TABLE (
    loyalty_state       text,
    slip_count          bigint,
    oldest_age_seconds  double precision
)
LANGUAGE plpgsql
AS $$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    -- A failed attempt does not touch updated_time, so it is when the slip came into its state.
    RETURN QUERY
    SELECT s.loyalty_state,
           count(*),
           date_part('epoch', present - min(s.updated_time))
    FROM ratingslip.rating_slip AS s
    WHERE s.loyalty_state IN ('PENDING', 'REFUSED')
    GROUP BY s.loyalty_state;
END
$$;
