-- The slip an idempotency key has already worked on; NULL for a new key or none.
--
-- Raises RS003 when the key was used for another request.
CREATE OR REPLACE FUNCTION ratingslip.find_replay(
    p_casino_id        uuid,
    p_idempotency_key  text,
    p_fingerprint      bytea
) RETURNS uuid
LANGUAGE plpgsql
AS $$
DECLARE
    event  ratingslip.rating_slip_event;
BEGIN
    IF p_idempotency_key IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT e.* INTO event
    FROM ratingslip.rating_slip_event AS e
    WHERE e.casino_id = p_casino_id
        AND e.idempotency_key = p_idempotency_key;
    IF event.fingerprint <> p_fingerprint THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS003',
            MESSAGE = 'the idempotency key was used for another request',
            DETAIL = event.rating_slip_id;
    END IF;
    RETURN event.rating_slip_id;
END
$$;
