-- Closes a slip: freezes time and bet, remembers who closed it under which call, and
-- marks its points as due, to be recovered when this close does not come to its end. A slip
-- that is closed already stays as it is.
--
-- Raises RS002 (no such slip), RS009 and RS010 (time), RS012 (another currency).
CREATE OR REPLACE FUNCTION ratingslip.complete_rating_slip(
    p_casino_id            uuid,
    p_staff_id             uuid,
    p_role                 text,
    p_correlation_id       text,
    p_trace_parent         text,
    p_rating_slip_id       uuid,
    p_end_time             timestamptz,
    p_average_bet          numeric,
    p_bet_currency_code    text,
    p_chips_taken          numeric,
    p_chips_currency_code  text,
    OUT slip               ratingslip.rating_slip,
    OUT play_seconds       bigint,
    OUT is_existing        boolean
)
LANGUAGE plpgsql
AS $$
DECLARE
    moment  timestamptz;
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := slip.status = 'CLOSED';
    IF NOT is_existing THEN
        PERFORM ratingslip.refuse_other_currency(slip, p_bet_currency_code, 'average_bet');
        PERFORM ratingslip.refuse_other_currency(slip, p_chips_currency_code, 'chips_taken');
        moment := ratingslip.event_moment(p_end_time, slip.last_event_time, 'end_time');
        slip.played_seconds := ratingslip.play_seconds(slip, moment);
        slip.duration_seconds := floor(slip.played_seconds);
        slip.running_since := NULL;
        slip.end_time := moment;
        slip.last_event_time := moment;
        slip.average_bet := COALESCE(p_average_bet, slip.average_bet);
        slip.chips_taken := p_chips_taken;
        slip.status := 'CLOSED';
        slip.loyalty_state := 'PENDING';
        slip.next_recovery_time := clock_timestamp() + ratingslip.recovery_delay(0);
        slip.closed_by_staff_id := p_staff_id;
        slip.close_correlation_id := p_correlation_id;
        slip.close_trace_parent := NULLIF(p_trace_parent, '');
        slip := ratingslip.append_event(
            slip, 'complete', moment, p_staff_id, p_correlation_id, NULL, NULL
        );
    END IF;
    play_seconds := slip.duration_seconds;
END
$$;
