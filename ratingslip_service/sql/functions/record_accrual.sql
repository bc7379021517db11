-- Remembers with a closed slip what Loyalty answered. The first answer stays.
--
-- Raises RS002 (no such slip).
CREATE OR REPLACE FUNCTION ratingslip.record_accrual(
    p_casino_id              uuid,
    p_staff_id               uuid,
    p_role                   text,
    p_correlation_id         text,
    p_trace_parent           text,
    p_loyalty_call_ms        integer,
    p_rating_slip_id         uuid,
    p_entry_id               uuid,
    p_points_delta           bigint,
    p_balance_after          bigint,
    p_lifetime_points        bigint,
    p_tier_before            text,
    p_tier_after             text,
    p_tier_progress_percent  integer,
    OUT slip                 ratingslip.rating_slip,
    OUT play_seconds         bigint,
    OUT is_existing          boolean
)
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := slip.loyalty_state = 'ACCRUED';
    IF NOT is_existing THEN
        slip.loyalty_state := 'ACCRUED';
        slip.loyalty_entry_id := p_entry_id;
        slip.loyalty_points_delta := p_points_delta;
        slip.loyalty_balance_after := p_balance_after;
        slip.loyalty_lifetime_points := p_lifetime_points;
        slip.loyalty_tier_before := p_tier_before;
        slip.loyalty_tier_after := p_tier_after;
        slip.loyalty_tier_progress_percent := p_tier_progress_percent;
        slip.loyalty_refusal_reason := NULL;
        slip.next_recovery_time := NULL;
        slip := ratingslip.append_attempt(
            slip, 'accrue', p_staff_id, p_role, p_correlation_id, p_trace_parent,
            p_loyalty_call_ms, NULL, NULL
        );
    END IF;
    play_seconds := slip.duration_seconds;
END
$$;
