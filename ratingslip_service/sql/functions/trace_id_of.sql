-- The trace that a W3C `traceparent` names (version-trace-span-flags); NULL when there is
-- none.
CREATE OR REPLACE FUNCTION ratingslip.trace_id_of(
    p_trace_parent  text
) RETURNS text
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT NULLIF(split_part(p_trace_parent, '-', 2), '')
$$;
