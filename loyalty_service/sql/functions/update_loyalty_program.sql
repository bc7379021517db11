-- Writes the next version of the casino's program, with one audit row. It comes into
-- force at p_effective_time, now when that is NULL. The same request again gives the
-- version it has written.
--
-- Two updates on one base cannot both be written: the key holds one version once, and
-- whoever runs again finds the winner's.
--
-- Raises LY001 (context), LY010 (the base is not the newest version), LY011 (too
-- early), LY012 (no such time zone).
CREATE OR REPLACE FUNCTION loyalty.update_loyalty_program(
    p_casino_id         uuid,
    p_staff_id          uuid,
    p_role              text,
    p_correlation_id    text,
    p_base_version      integer,
    p_points_per_unit   numeric,
    p_rounding          text,
    p_tiers             loyalty.program_tier[],
    p_overdraw_floor    bigint,
    p_time_zone         text,
    p_gaming_day_start  time,
    p_effective_time    timestamptz,
    OUT program         loyalty.loyalty_program,
    OUT is_existing     boolean
)
LANGUAGE plpgsql
AS $$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
    newest  loyalty.loyalty_program;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    newest := loyalty.newest_program(p_casino_id);
    program := ROW(
        p_casino_id, newest.version, COALESCE(p_effective_time, newest.created_time),
        p_points_per_unit, p_rounding, p_tiers, p_overdraw_floor, p_time_zone,
        p_gaming_day_start, newest.created_time, p_staff_id
    );
    is_existing := newest.version - 1 = p_base_version AND program = newest;
    IF is_existing THEN
        RETURN;
    END IF;
    PERFORM loyalty.refuse_stale_base(p_base_version, newest.version);

    program.version := newest.version + 1;
    program.effective_time := COALESCE(p_effective_time, moment);
    program.created_time := moment;
    PERFORM loyalty.refuse_early_program(program, newest.effective_time);
    PERFORM loyalty.refuse_unknown_time_zone(p_time_zone);
    INSERT INTO loyalty.loyalty_program VALUES (program.*);
    INSERT INTO loyalty.loyalty_audit (
        casino_id, recorded_time, staff_id, role, action, correlation_id, before, after
    )
    VALUES (
        p_casino_id, moment, p_staff_id, p_role, 'update_loyalty_program', p_correlation_id,
        to_jsonb(newest), to_jsonb(program)
    );
END
$$;
