-- Puts a casino on the schedule of drift checks, unless it is there already. Returns
-- whether it is new.
--
-- Raises LY001 (context).
CREATE OR REPLACE FUNCTION loyalty.enrol_casino(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text
) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    INSERT INTO loyalty.drift_schedule (casino_id, next_time)
    VALUES (
        p_casino_id,
        loyalty.next_drift_time(loyalty.program_in_force(p_casino_id, moment), moment)
    )
    ON CONFLICT (casino_id) DO NOTHING;
    RETURN FOUND;
END
$$;
