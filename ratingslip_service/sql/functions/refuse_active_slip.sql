-- Refuses a new slip where one is active: RS007 for the visit, RS008 for the seat. The
-- error's detail is the active slip.
CREATE OR REPLACE FUNCTION ratingslip.refuse_active_slip(
    p_casino_id    uuid,
    p_visit_id     uuid,
    p_table_id     uuid,
    p_seat_number  integer
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    active_id  uuid;
BEGIN
    SELECT s.id INTO active_id
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.visit_id = p_visit_id
        AND s.status <> 'CLOSED';
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS007', MESSAGE = 'the visit has an active slip', DETAIL = active_id;
    END IF;

    SELECT s.id INTO active_id
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.table_id = p_table_id
        AND s.seat_number = p_seat_number
        AND s.status <> 'CLOSED';
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS008', MESSAGE = 'the seat has an active slip', DETAIL = active_id;
    END IF;
END
$$;
