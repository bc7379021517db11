-- Play time as callers see it: whole seconds, frozen once the slip is closed.
CREATE OR REPLACE FUNCTION ratingslip.shown_seconds(
    p_slip  ratingslip.rating_slip,
    p_time  timestamptz
) RETURNS bigint
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT COALESCE(p_slip.duration_seconds, floor(ratingslip.play_seconds(p_slip, p_time))::bigint)
$$;
