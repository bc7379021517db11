-- The version of the casino's program that was in force at a moment.
CREATE OR REPLACE FUNCTION loyalty.program_in_force(
    p_casino_id  uuid,
    p_time       timestamptz
) RETURNS loyalty.loyalty_program
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    program loyalty.loyalty_program;
BEGIN
    SELECT p.* INTO program
    FROM loyalty.loyalty_program AS p
    WHERE p.casino_id = p_casino_id
        AND p.effective_time <= p_time
    ORDER BY p.effective_time DESC
    LIMIT 1;
    IF NOT FOUND THEN
        program := loyalty.default_program(p_casino_id);
    END IF;
    RETURN program;
END
$$;
