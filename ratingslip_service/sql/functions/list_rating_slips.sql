-- A page of slips, the newest created first, beginning after a position. A filter that is
-- NULL does not filter. It runs with a custom plan: which filters are set decides which
-- index is right.
CREATE OR REPLACE FUNCTION ratingslip.list_rating_slips(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text,
    p_row_limit       integer,
    p_after_time      timestamptz,
    p_after_id        uuid,
    p_status          text,
    p_loyalty_state   text,
    p_player_id       uuid,
    p_table_id        uuid,
    p_started_from    timestamptz,
    p_started_before  timestamptz
) RETURNS TABLE (
    slip          ratingslip.rating_slip,
    play_seconds  bigint
)
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT s, ratingslip.shown_seconds(s, present)
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND (p_after_time IS NULL OR (s.created_time, s.id) < (p_after_time, p_after_id))
        AND (p_status IS NULL OR s.status = p_status)
        AND (p_loyalty_state IS NULL OR s.loyalty_state = p_loyalty_state)
        AND (p_player_id IS NULL OR s.player_id = p_player_id)
        AND (p_table_id IS NULL OR s.table_id = p_table_id)
        AND (p_started_from IS NULL OR s.start_time >= p_started_from)
        AND (p_started_before IS NULL OR s.start_time < p_started_before)
    ORDER BY s.created_time DESC, s.id DESC
    LIMIT p_row_limit;
END
$$;
