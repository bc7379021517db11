-- Stores the end of an attempt to credit a closed slip's points, and where they are after
-- it; the caller holds the slip's lock. A failed attempt (`fail`) leaves the slip as it is.
CREATE OR REPLACE FUNCTION ratingslip.append_attempt(
    p_slip             ratingslip.rating_slip,
    p_kind             text,
    p_staff_id         uuid,
    p_role             text,
    p_correlation_id   text,
    p_trace_parent     text,
    p_loyalty_call_ms  integer,
    p_code             text,
    p_reason           text
) RETURNS ratingslip.rating_slip
LANGUAGE plpgsql
AS $$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    p_slip.event_count := p_slip.event_count + 1;
    IF p_kind <> 'fail' THEN
        p_slip.updated_time := present;
    END IF;
    PERFORM ratingslip.store_slip(p_slip);
    INSERT INTO ratingslip.rating_slip_event (
        casino_id, rating_slip_id, event_number, event_time, recorded_time,
        staff_id, role, kind, correlation_id, trace_id, average_bet,
        loyalty_call_ms, code, reason
    )
    VALUES (
        p_slip.casino_id, p_slip.id, p_slip.event_count, present, present,
        p_staff_id, p_role, p_kind, p_correlation_id,
        ratingslip.trace_id_of(p_trace_parent), p_slip.average_bet,
        p_loyalty_call_ms, p_code, p_reason
    );
    RETURN p_slip;
END
$$;
