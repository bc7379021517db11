-- Refuses a version that would come into force in the past, or not after the version
-- before it: LY011.
CREATE OR REPLACE FUNCTION loyalty.refuse_early_program(
    p_program        loyalty.loyalty_program,
    p_previous_time  timestamptz
) RETURNS void
LANGUAGE plpgsql
IMMUTABLE
AS $$
DECLARE
    earliest  CONSTANT timestamptz
        := GREATEST(p_program.created_time, p_previous_time + interval '1 microsecond');
BEGIN
    IF p_program.effective_time < earliest THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY011',
            MESSAGE = 'the version would come into force too early',
            DETAIL = json_build_object('earliestTime', to_char(
                earliest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
            ));
    END IF;
END
$$;
