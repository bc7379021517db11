-- The casinos with slips that are due for recovery: the one question that is asked across
-- casinos. Its caller is of no casino, and a policy of its own shows it those slips.
CREATE OR REPLACE FUNCTION ratingslip.list_casinos_with_due_slips(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text,
    p_row_limit       integer
) RETURNS TABLE (casino_id uuid)
LANGUAGE plpgsql
AS $$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT DISTINCT s.casino_id
    FROM ratingslip.rating_slip AS s
    WHERE s.loyalty_state = 'PENDING'
        AND s.next_recovery_time <= present
    LIMIT p_row_limit;
END
$$;
