-- A slip as it stands, and what a close would freeze: the end of play, the whole seconds
-- and the average bet. For a closed slip what was frozen; the given end and bet then do
-- not count. Writes nothing and locks nothing.
--
-- Raises RS002 (no such slip), RS009 and RS010 (time), RS012 (another currency).
CREATE OR REPLACE FUNCTION ratingslip.preview_slip_points(
    p_casino_id                  uuid,
    p_staff_id                   uuid,
    p_role                       text,
    p_correlation_id             text,
    p_rating_slip_id             uuid,
    p_end_time                   timestamptz,
    p_average_bet                numeric,
    p_bet_currency_code          text,
    OUT slip                     ratingslip.rating_slip,
    OUT play_seconds             bigint,
    OUT frozen_average_bet       numeric,
    OUT frozen_duration_seconds  bigint,
    OUT frozen_end_time          timestamptz
)
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    SELECT s.* INTO slip
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.id = p_rating_slip_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS002', MESSAGE = 'no such slip', DETAIL = p_rating_slip_id;
    END IF;
    IF slip.status = 'CLOSED' THEN
        frozen_average_bet := slip.average_bet;
        frozen_end_time := slip.end_time;
    ELSE
        PERFORM ratingslip.refuse_other_currency(slip, p_bet_currency_code, 'average_bet');
        frozen_average_bet := COALESCE(p_average_bet, slip.average_bet);
        frozen_end_time := ratingslip.event_moment(p_end_time, slip.last_event_time, 'end_time');
    END IF;
    frozen_duration_seconds := ratingslip.shown_seconds(slip, frozen_end_time);
    -- Where the end is now, both figures are of the same now.
    play_seconds := CASE
        WHEN p_end_time IS NULL THEN frozen_duration_seconds
        ELSE ratingslip.shown_seconds(slip, clock_timestamp())
    END;
END
$$;
