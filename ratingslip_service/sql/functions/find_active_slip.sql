-- The active slip that a new one would stand beside: the visit's, else the seat's. NULL
-- when there is none.
CREATE OR REPLACE FUNCTION ratingslip.find_active_slip(
    p_casino_id    uuid,
    p_visit_id     uuid,
    p_table_id     uuid,
    p_seat_number  integer
) RETURNS ratingslip.rating_slip
LANGUAGE plpgsql
AS $$
DECLARE
    slip  ratingslip.rating_slip;
BEGIN
    SELECT s.* INTO slip
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.visit_id = p_visit_id
        AND s.status <> 'CLOSED';
    IF NOT FOUND THEN
        SELECT s.* INTO slip
        FROM ratingslip.rating_slip AS s
        WHERE s.casino_id = p_casino_id
            AND s.table_id = p_table_id
            AND s.seat_number = p_seat_number
            AND s.status <> 'CLOSED';
    END IF;
    RETURN slip;
END
$$;
