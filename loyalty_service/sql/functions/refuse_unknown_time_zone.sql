-- Refuses a time zone that the database does not know by this very name: LY012.
CREATE OR REPLACE FUNCTION loyalty.refuse_unknown_time_zone(
    p_time_zone  text
) RETURNS void
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_timezone_names AS z
        WHERE z.name = p_time_zone
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY012',
            MESSAGE = 'there is no such time zone',
            DETAIL = json_build_object('timeZone', p_time_zone);
    END IF;
END
$$;
