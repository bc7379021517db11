-- Stores a changed slip together with the event that changed it; the caller holds its lock.
-- The ends of attempts to credit its points are stored by append_attempt.
CREATE OR REPLACE FUNCTION ratingslip.append_event(
    p_slip             ratingslip.rating_slip,
    p_kind             text,
    p_event_time       timestamptz,
    p_staff_id         uuid,
    p_correlation_id   text,
    p_idempotency_key  text,
    p_fingerprint      bytea
) RETURNS ratingslip.rating_slip
LANGUAGE plpgsql
AS $$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    p_slip.event_count := p_slip.event_count + 1;
    p_slip.updated_time := present;
    PERFORM ratingslip.store_slip(p_slip);
    INSERT INTO ratingslip.rating_slip_event (
        casino_id, rating_slip_id, event_number, event_time, recorded_time,
        staff_id, role, kind, correlation_id, trace_id,
        idempotency_key, fingerprint, average_bet
    )
    VALUES (
        p_slip.casino_id, p_slip.id, p_slip.event_count, p_event_time, present,
        p_staff_id, current_setting('app.role'), p_kind, p_correlation_id,
        -- Only the close knows its trace, and no play event comes after it.
        ratingslip.trace_id_of(p_slip.close_trace_parent),
        p_idempotency_key, p_fingerprint, p_slip.average_bet
    );
    RETURN p_slip;
END
$$;
