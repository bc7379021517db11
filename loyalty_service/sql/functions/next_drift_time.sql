-- When a casino's balances are checked next after a moment: at 03:00 by its own
-- clock, when the floor is quiet and the gaming day has not begun anew.
CREATE OR REPLACE FUNCTION loyalty.next_drift_time(
    p_program  loyalty.loyalty_program,
    p_time     timestamptz
) RETURNS timestamptz
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    check_time  CONSTANT time := '03:00';
    local_time  CONSTANT timestamp := p_time AT TIME ZONE p_program.time_zone;
    today       CONSTANT timestamptz
        := (local_time::date + check_time) AT TIME ZONE p_program.time_zone;
BEGIN
    IF today > p_time THEN
        RETURN today;
    END IF;
    RETURN (local_time::date + 1 + check_time) AT TIME ZONE p_program.time_zone;
END
$$;
