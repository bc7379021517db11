-- Takes a casino's drift check for one instance, when it is due and nobody is at it:
-- of several callers at once one gets true. The lease ends by itself, so that the
-- check of an instance that died is taken over.
--
-- Raises LY001 (context).
CREATE OR REPLACE FUNCTION loyalty.claim_drift_check(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text,
    p_holder          uuid,
    p_lease           interval
) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    UPDATE loyalty.drift_schedule AS s
    SET lease_holder = p_holder,
        lease_until = moment + p_lease
    WHERE s.casino_id = p_casino_id
        AND s.next_time <= moment
        AND (s.lease_until IS NULL OR s.lease_until <= moment);
    RETURN FOUND;
END
$$;
