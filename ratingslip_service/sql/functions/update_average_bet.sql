-- Replaces the average bet of an active slip.
--
-- Raises RS002 (no such slip), RS003 (key), RS006 (closed), RS009 and RS010 (time),
-- RS012 (another currency).
CREATE OR REPLACE FUNCTION ratingslip.update_average_bet(
    p_casino_id        uuid,
    p_staff_id         uuid,
    p_role             text,
    p_correlation_id   text,
    p_idempotency_key  text,
    p_fingerprint      bytea,
    p_rating_slip_id   uuid,
    p_average_bet      numeric,
    p_currency_code    text,
    p_event_time       timestamptz,
    OUT slip           ratingslip.rating_slip,
    OUT play_seconds   bigint,
    OUT is_existing    boolean
)
LANGUAGE plpgsql
AS $$
DECLARE
    moment  timestamptz;
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := ratingslip.find_replay(p_casino_id, p_idempotency_key, p_fingerprint) IS NOT NULL;
    IF NOT is_existing THEN
        IF slip.status = 'CLOSED' THEN
            RAISE EXCEPTION USING ERRCODE = 'RS006', MESSAGE = 'the slip is closed';
        END IF;
        PERFORM ratingslip.refuse_other_currency(slip, p_currency_code, 'average_bet');
        moment := ratingslip.event_moment(p_event_time, slip.last_event_time, 'event_time');
        slip.average_bet := p_average_bet;
        slip.last_event_time := moment;
        slip := ratingslip.append_event(
            slip, 'update_average_bet', moment, p_staff_id, p_correlation_id, p_idempotency_key, p_fingerprint
        );
    END IF;
    play_seconds := ratingslip.shown_seconds(slip, clock_timestamp());
END
$$;
