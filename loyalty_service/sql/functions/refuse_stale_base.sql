-- Refuses an update that is not based on the newest version: LY010.
CREATE OR REPLACE FUNCTION loyalty.refuse_stale_base(
    p_base_version    integer,
    p_newest_version  integer
) RETURNS void
LANGUAGE plpgsql
IMMUTABLE
AS $$
BEGIN
    IF p_base_version <> p_newest_version THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY010',
            MESSAGE = 'the program is at another version',
            DETAIL = json_build_object('currentVersion', p_newest_version::text);
    END IF;
END
$$;
