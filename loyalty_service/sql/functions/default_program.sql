-- The program of a casino that nobody has configured: version 0, in force since
-- ever. Its numbers are the product's defaults.
CREATE OR REPLACE FUNCTION loyalty.default_program(
    p_casino_id  uuid
) RETURNS loyalty.loyalty_program
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT ROW(
        p_casino_id,
        0,
        '-infinity'::timestamptz,
        10::numeric,
        'floor',
        ARRAY[
            ROW('BRONZE',       0, 1),
            ROW('SILVER',    1000, 1.25),
            ROW('GOLD',      5000, 1.5),
            ROW('PLATINUM', 20000, 2)
        ]::loyalty.program_tier[],
        -5000::bigint,
        'UTC',
        '06:00'::time,
        '-infinity'::timestamptz,
        '00000000-0000-0000-0000-000000000000'::uuid
    )::loyalty.loyalty_program
$$;
