-- Locks a slip until the transaction ends and returns it. Every change of a slip locks
-- it first, then checks, then writes.
--
-- Raises RS002 when the casino has no such slip.
CREATE OR REPLACE FUNCTION ratingslip.lock_slip(
    p_casino_id       uuid,
    p_rating_slip_id  uuid
) RETURNS ratingslip.rating_slip
LANGUAGE plpgsql
AS $$
DECLARE
    slip  ratingslip.rating_slip;
BEGIN
    SELECT s.* INTO slip
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.id = p_rating_slip_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS002', MESSAGE = 'no such slip', DETAIL = p_rating_slip_id;
    END IF;
    RETURN slip;
END
$$;
