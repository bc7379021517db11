-- The casino's gaming day a moment belongs to: a day runs from the program's
-- start of day to the next, in the casino's own time zone.
CREATE OR REPLACE FUNCTION loyalty.gaming_day(
    p_program  loyalty.loyalty_program,
    p_time     timestamptz
) RETURNS date
LANGUAGE sql
STABLE
AS $$
    SELECT ((p_time AT TIME ZONE p_program.time_zone) - p_program.gaming_day_start)::date
$$;
