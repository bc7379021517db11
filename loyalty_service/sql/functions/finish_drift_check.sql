-- Gives a casino's drift check back when it is done, with the time of the next one.
-- Returns false, and changes nothing, when the caller is no longer its holder.
--
-- Raises LY001 (context).
CREATE OR REPLACE FUNCTION loyalty.finish_drift_check(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text,
    p_holder          uuid
) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    moment     CONSTANT timestamptz := loyalty.present();
    following  timestamptz;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    following := loyalty.next_drift_time(loyalty.program_in_force(p_casino_id, moment), moment);
    UPDATE loyalty.drift_schedule AS s
    SET next_time = following,
        last_time = moment,
        lease_holder = NULL,
        lease_until = NULL
    WHERE s.casino_id = p_casino_id
        AND s.lease_holder = p_holder;
    RETURN FOUND;
END
$$;
