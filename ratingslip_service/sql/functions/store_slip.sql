-- Writes a changed slip back; the caller holds its lock. The only place where a slip is
-- updated, but for when its points are tried again, which claim_due_slip says.
CREATE OR REPLACE FUNCTION ratingslip.store_slip(
    p_slip  ratingslip.rating_slip
) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE ratingslip.rating_slip AS s
    SET event_count = p_slip.event_count,
        updated_time = p_slip.updated_time,
        status = p_slip.status,
        last_event_time = p_slip.last_event_time,
        running_since = p_slip.running_since,
        end_time = p_slip.end_time,
        played_seconds = p_slip.played_seconds,
        duration_seconds = p_slip.duration_seconds,
        average_bet = p_slip.average_bet,
        chips_taken = p_slip.chips_taken,
        closed_by_staff_id = p_slip.closed_by_staff_id,
        close_correlation_id = p_slip.close_correlation_id,
        close_trace_parent = p_slip.close_trace_parent,
        loyalty_state = p_slip.loyalty_state,
        loyalty_entry_id = p_slip.loyalty_entry_id,
        loyalty_points_delta = p_slip.loyalty_points_delta,
        loyalty_balance_after = p_slip.loyalty_balance_after,
        loyalty_lifetime_points = p_slip.loyalty_lifetime_points,
        loyalty_tier_before = p_slip.loyalty_tier_before,
        loyalty_tier_after = p_slip.loyalty_tier_after,
        loyalty_tier_progress_percent = p_slip.loyalty_tier_progress_percent,
        loyalty_refusal_reason = p_slip.loyalty_refusal_reason,
        next_recovery_time = p_slip.next_recovery_time
    WHERE s.casino_id = p_slip.casino_id
        AND s.id = p_slip.id;
END
$$;
