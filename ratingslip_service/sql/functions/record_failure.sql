-- Remembers with a closed slip that an attempt to credit its points failed, with which
-- gRPC code and why. The slip stays as it is.
--
-- Raises RS002 (no such slip).
CREATE OR REPLACE FUNCTION ratingslip.record_failure(
    p_casino_id        uuid,
    p_staff_id         uuid,
    p_role             text,
    p_correlation_id   text,
    p_trace_parent     text,
    p_loyalty_call_ms  integer,
    p_rating_slip_id   uuid,
    p_code             text,
    p_reason           text
) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    PERFORM ratingslip.append_attempt(
        ratingslip.lock_slip(p_casino_id, p_rating_slip_id), 'fail', p_staff_id, p_role,
        p_correlation_id, p_trace_parent, p_loyalty_call_ms, p_code, p_reason
    );
END
$$;
