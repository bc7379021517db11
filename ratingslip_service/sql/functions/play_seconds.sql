-- The one source of truth for play time: the finished stretches plus the running one.
-- Exact to the microsecond.
CREATE OR REPLACE FUNCTION ratingslip.play_seconds(
    p_slip  ratingslip.rating_slip,
    p_time  timestamptz
) RETURNS numeric
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT p_slip.played_seconds
        + COALESCE(GREATEST(0, extract(epoch FROM p_time) - extract(epoch FROM p_slip.running_since)), 0)
$$;
