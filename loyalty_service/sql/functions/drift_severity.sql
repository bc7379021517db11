-- How bad it is that one player's cached figures are some points off what the entries
-- say; NULL when nothing drifts. Entries without a balance row drift whatever they
-- come to, and so does a balance with another tier: neither is sound.
CREATE OR REPLACE FUNCTION loyalty.drift_severity(
    p_is_sound      boolean,
    p_drift_points  numeric
) RETURNS text
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT CASE
        WHEN p_drift_points > 1000 THEN 'critical'
        WHEN p_drift_points > 100 THEN 'warning'
        WHEN p_drift_points > 0 OR NOT p_is_sound THEN 'info'
    END
$$;
