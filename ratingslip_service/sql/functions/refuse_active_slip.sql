-- Refuses a new slip of a visit because of the active one: RS007 when that is the visit's,
-- RS008 when it has the seat. The error's detail is the active slip; NULL is none.
CREATE OR REPLACE FUNCTION ratingslip.refuse_active_slip(
    p_active    ratingslip.rating_slip,
    p_visit_id  uuid
) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF p_active.visit_id = p_visit_id THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS007', MESSAGE = 'the visit has an active slip', DETAIL = p_active.id;
    ELSIF p_active.id IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS008', MESSAGE = 'the seat has an active slip', DETAIL = p_active.id;
    END IF;
END
$$;
