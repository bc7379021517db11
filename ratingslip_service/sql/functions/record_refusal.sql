-- Remembers with a closed slip that Loyalty refused its points for good, with which gRPC
-- code and why. Points that arrived in the meantime stay.
--
-- Raises RS002 (no such slip).
CREATE OR REPLACE FUNCTION ratingslip.record_refusal(
    p_casino_id        uuid,
    p_staff_id         uuid,
    p_role             text,
    p_correlation_id   text,
    p_trace_parent     text,
    p_loyalty_call_ms  integer,
    p_rating_slip_id   uuid,
    p_code             text,
    p_reason           text,
    OUT slip           ratingslip.rating_slip,
    OUT play_seconds   bigint,
    OUT is_existing    boolean
)
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := slip.loyalty_state <> 'PENDING';
    IF slip.loyalty_state <> 'ACCRUED' THEN
        -- Somebody may have tried again a slip that was refused before, for another reason.
        slip.loyalty_state := 'REFUSED';
        slip.loyalty_refusal_reason := p_reason;
        slip.next_recovery_time := NULL;
        slip := ratingslip.append_attempt(
            slip, 'refuse', p_staff_id, p_role, p_correlation_id, p_trace_parent,
            p_loyalty_call_ms, p_code, p_reason
        );
    END IF;
    play_seconds := slip.duration_seconds;
END
$$;
