-- Where some lifetime points stand on a program's ladder. Lifetime points below
-- the first step (possible only on a ladder that does not begin at 0) hold it too.
CREATE OR REPLACE FUNCTION loyalty.tier_standing(
    p_tiers     loyalty.program_tier[],
    p_lifetime  bigint,
    OUT tier              text,
    OUT multiplier        numeric,
    OUT progress_percent  integer,
    OUT next_tier         text,
    OUT points_to_next    bigint
)
LANGUAGE plpgsql
IMMUTABLE
AS $$
DECLARE
    held  integer := 1;
BEGIN
    WHILE held < cardinality(p_tiers) AND p_lifetime >= p_tiers[held + 1].lifetime_start LOOP
        held := held + 1;
    END LOOP;
    tier := p_tiers[held].name;
    multiplier := p_tiers[held].multiplier;
    IF held = cardinality(p_tiers) THEN
        progress_percent := 100;
        next_tier := '';
        points_to_next := 0;
    ELSE
        next_tier := p_tiers[held + 1].name;
        points_to_next := p_tiers[held + 1].lifetime_start - p_lifetime;
        progress_percent := GREATEST(0, div(
            100 * (p_lifetime - p_tiers[held].lifetime_start)::numeric,
            (p_tiers[held + 1].lifetime_start - p_tiers[held].lifetime_start)::numeric
        ));
    END IF;
END
$$;
