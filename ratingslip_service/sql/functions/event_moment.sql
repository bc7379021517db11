-- The time of a slip's next event: the given one, or now.
--
-- Raises RS009 when it lies before the last event, RS010 when it lies ahead; p_field
-- names the request's field in both.
CREATE OR REPLACE FUNCTION ratingslip.event_moment(
    p_given       timestamptz,
    p_last_event  timestamptz,
    p_field       text
) RETURNS timestamptz
LANGUAGE plpgsql
AS $$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF p_given > present THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS010', MESSAGE = 'the event lies ahead', COLUMN = p_field;
    END IF;
    IF p_given < p_last_event THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS009', MESSAGE = 'the event lies before the last one', COLUMN = p_field;
    END IF;
    -- A clock that was set back must not put events out of order.
    RETURN COALESCE(p_given, GREATEST(present, p_last_event));
END
$$;
