-- What is cached for a player, as the audit trail shows it; NULL without a row.
CREATE OR REPLACE FUNCTION loyalty.standing_of(
    p_player  loyalty.player_loyalty
) RETURNS jsonb
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT CASE WHEN p_player.current_balance IS NOT NULL THEN jsonb_build_object(
        'current_balance', p_player.current_balance,
        'lifetime_points', p_player.lifetime_points,
        'tier', p_player.tier
    ) END
$$;
