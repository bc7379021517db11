-- The casinos whose drift check is due and that nobody is at, longest due first. The
-- one question that is asked across casinos; it locks nothing. A policy answers it for
-- the role `scheduler` alone, whatever casino the context names.
--
-- Raises LY001 (context).
CREATE OR REPLACE FUNCTION loyalty.list_due_drift_checks(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text,
    p_row_limit       integer
) RETURNS SETOF uuid
LANGUAGE plpgsql
AS $$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT s.casino_id
    FROM loyalty.drift_schedule AS s
    WHERE s.next_time <= moment
        AND (s.lease_until IS NULL OR s.lease_until <= moment)
    ORDER BY s.next_time, s.casino_id
    LIMIT p_row_limit;
END
$$;
