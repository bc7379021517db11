-- Stops a slip's clock.
--
-- Raises RS002 (no such slip), RS003 (key), RS004 (not open), RS009 and RS010 (time).
CREATE OR REPLACE FUNCTION ratingslip.pause_rating_slip(
    p_casino_id        uuid,
    p_staff_id         uuid,
    p_role             text,
    p_correlation_id   text,
    p_idempotency_key  text,
    p_fingerprint      bytea,
    p_rating_slip_id   uuid,
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
        IF slip.status <> 'OPEN' THEN
            RAISE EXCEPTION USING ERRCODE = 'RS004', MESSAGE = 'the slip is not open';
        END IF;
        moment := ratingslip.event_moment(p_event_time, slip.last_event_time, 'event_time');
        slip.played_seconds := ratingslip.play_seconds(slip, moment);
        slip.running_since := NULL;
        slip.status := 'PAUSED';
        slip.last_event_time := moment;
        slip := ratingslip.append_event(
            slip, 'pause', moment, p_staff_id, p_correlation_id, p_idempotency_key, p_fingerprint
        );
    END IF;
    play_seconds := ratingslip.shown_seconds(slip, clock_timestamp());
END
$$;
