-- The newest version of the casino's program, in force or not yet; version 0 when
-- nobody has configured one.
CREATE OR REPLACE FUNCTION loyalty.newest_program(
    p_casino_id  uuid
) RETURNS loyalty.loyalty_program
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    program  loyalty.loyalty_program;
BEGIN
    SELECT p.* INTO program
    FROM loyalty.loyalty_program AS p
    WHERE p.casino_id = p_casino_id
    ORDER BY p.version DESC
    LIMIT 1;
    IF NOT FOUND THEN
        program := loyalty.default_program(p_casino_id);
    END IF;
    RETURN program;
END
$$;
