-- The version of the casino's program in force at a time, now when it is NULL, and
-- the number of the newest one.
--
-- Raises LY001 (context).
CREATE OR REPLACE FUNCTION loyalty.get_loyalty_program(
    p_casino_id         uuid,
    p_staff_id          uuid,
    p_role              text,
    p_correlation_id    text,
    p_time              timestamptz,
    OUT program         loyalty.loyalty_program,
    OUT newest_version  integer
)
LANGUAGE plpgsql
AS $$
DECLARE
    moment  CONSTANT timestamptz := COALESCE(p_time, loyalty.present());
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    program := loyalty.program_in_force(p_casino_id, moment);
    newest_version := (loyalty.newest_program(p_casino_id)).version;
END
$$;
