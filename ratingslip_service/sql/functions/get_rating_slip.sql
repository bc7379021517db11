-- One slip as of now. No row means that the casino has no such slip.
CREATE OR REPLACE FUNCTION ratingslip.get_rating_slip(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text,
    p_rating_slip_id  uuid
) RETURNS TABLE (
    slip          ratingslip.rating_slip,
    play_seconds  bigint
)
LANGUAGE plpgsql
AS $$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT s, ratingslip.shown_seconds(s, present)
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.id = p_rating_slip_id;
END
$$;
