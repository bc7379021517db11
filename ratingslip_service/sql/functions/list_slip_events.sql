-- A page of events, the oldest recorded first, beginning after a position: of a slip, under
-- a correlation ID or in a trace. A filter that is NULL does not filter. It runs with a custom
-- plan: which filters are set decides which index is right.
CREATE OR REPLACE FUNCTION ratingslip.list_slip_events(
    p_casino_id            uuid,
    p_staff_id             uuid,
    p_role                 text,
    p_correlation_id       text,
    p_row_limit            integer,
    p_after_time           timestamptz,
    p_after_slip_id        uuid,
    p_after_number         integer,
    p_of_slip_id           uuid,
    p_of_correlation_id    text,
    p_of_trace_id          text
) RETURNS TABLE (
    event          ratingslip.rating_slip_event,
    currency_code  text
)
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT e, s.currency_code
    FROM ratingslip.rating_slip_event AS e
    JOIN ratingslip.rating_slip AS s
        ON s.casino_id = e.casino_id
        AND s.id = e.rating_slip_id
    WHERE e.casino_id = p_casino_id
        AND (
            p_after_time IS NULL
            OR (e.recorded_time, e.rating_slip_id, e.event_number)
                > (p_after_time, p_after_slip_id, p_after_number)
        )
        AND (p_of_slip_id IS NULL OR e.rating_slip_id = p_of_slip_id)
        AND (p_of_correlation_id IS NULL OR e.correlation_id = p_of_correlation_id)
        AND (p_of_trace_id IS NULL OR e.trace_id = p_of_trace_id)
    ORDER BY e.recorded_time, e.rating_slip_id, e.event_number
    LIMIT p_row_limit;
END
$$;
