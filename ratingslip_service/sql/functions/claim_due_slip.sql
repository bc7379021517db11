-- The slip of a casino whose points are overdue longest, claimed by putting off its next
-- attempt; no row when none is due. Slips that somebody is at are passed over.
CREATE OR REPLACE FUNCTION ratingslip.claim_due_slip(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text
) RETURNS TABLE (
    slip          ratingslip.rating_slip,
    play_seconds  bigint
)
LANGUAGE plpgsql
AS $$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
    claimed  ratingslip.rating_slip;
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    SELECT s.* INTO claimed
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.loyalty_state = 'PENDING'
        AND s.next_recovery_time <= present
    ORDER BY s.next_recovery_time
    LIMIT 1
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    claimed.recovery_attempt_count := claimed.recovery_attempt_count + 1;
    claimed.next_recovery_time
        := present + ratingslip.recovery_delay(claimed.recovery_attempt_count);
    UPDATE ratingslip.rating_slip AS s
    SET recovery_attempt_count = claimed.recovery_attempt_count,
        next_recovery_time = claimed.next_recovery_time
    WHERE s.casino_id = p_casino_id
        AND s.id = claimed.id;
    RETURN QUERY SELECT claimed, claimed.duration_seconds;
END
$$;
