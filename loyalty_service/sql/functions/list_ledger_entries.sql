-- A page of ledger entries, newest first, beginning after a position. A filter
-- that is NULL does not filter.
--
-- One player's entries are ordered by entry_number, a casino's by recorded time
-- and ID; p_after_number or p_after_time with p_after_id is the last row of the
-- page before. The two orders are two statements, so that each has its own index.
-- They run with a custom plan: which filters are set decides which index is right.
CREATE OR REPLACE FUNCTION loyalty.list_ledger_entries(
    p_casino_id        uuid,
    p_staff_id         uuid,
    p_role             text,
    p_correlation_id   text,
    p_row_limit        integer,
    p_after_number     bigint,
    p_after_time       timestamptz,
    p_after_id         uuid,
    p_player_id        uuid,
    p_reason           text,
    p_rating_slip_id   uuid,
    p_visit_id         uuid,
    p_campaign_id      uuid,
    p_by_staff_id      uuid,
    p_by_correlation   text,
    p_recorded_from    timestamptz,
    p_recorded_before  timestamptz
) RETURNS SETOF loyalty.loyalty_ledger
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    IF p_player_id IS NOT NULL THEN
        RETURN QUERY
        SELECT l.*
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_casino_id
            AND l.player_id = p_player_id
            AND (p_after_number IS NULL OR l.entry_number < p_after_number)
            AND (p_reason IS NULL OR l.reason = p_reason)
            AND (p_rating_slip_id IS NULL OR l.rating_slip_id = p_rating_slip_id)
            AND (p_visit_id IS NULL OR l.visit_id = p_visit_id)
            AND (p_campaign_id IS NULL OR l.campaign_id = p_campaign_id)
            AND (p_by_staff_id IS NULL OR l.staff_id = p_by_staff_id)
            AND (p_by_correlation IS NULL OR l.correlation_id = p_by_correlation)
            AND (p_recorded_from IS NULL OR l.recorded_time >= p_recorded_from)
            AND (p_recorded_before IS NULL OR l.recorded_time < p_recorded_before)
        ORDER BY l.entry_number DESC
        LIMIT p_row_limit;
    ELSE
        RETURN QUERY
        SELECT l.*
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_casino_id
            AND (p_after_time IS NULL OR (l.recorded_time, l.id) < (p_after_time, p_after_id))
            AND (p_reason IS NULL OR l.reason = p_reason)
            AND (p_rating_slip_id IS NULL OR l.rating_slip_id = p_rating_slip_id)
            AND (p_visit_id IS NULL OR l.visit_id = p_visit_id)
            AND (p_campaign_id IS NULL OR l.campaign_id = p_campaign_id)
            AND (p_by_staff_id IS NULL OR l.staff_id = p_by_staff_id)
            AND (p_by_correlation IS NULL OR l.correlation_id = p_by_correlation)
            AND (p_recorded_from IS NULL OR l.recorded_time >= p_recorded_from)
            AND (p_recorded_before IS NULL OR l.recorded_time < p_recorded_before)
        ORDER BY l.recorded_time DESC, l.id DESC
        LIMIT p_row_limit;
    END IF;
END
$$;
