-- What is cached for each player beside what the player's entries say, for a range of
-- players (after p_after_player, up to p_last_player; NULL is open) or for one.
--
-- Both ways: entries without a balance row are there, and so is a row without
-- entries. One statement, so that it sees a balance and its entries as one writer
-- left them. What the entries say is numeric: a forged ledger need not fit in 64 bits.
-- ledger_tier is that of the last entry. severity is NULL when nothing drifts.
CREATE OR REPLACE FUNCTION loyalty.compare_balances(
    p_casino_id     uuid,
    p_player_id     uuid,
    p_after_player  uuid,
    p_last_player   uuid
) RETURNS TABLE (
    player_id               uuid,
    has_balance             boolean,
    current_balance         bigint,
    ledger_balance          numeric,
    lifetime_points         bigint,
    ledger_lifetime_points  numeric,
    tier                    text,
    ledger_tier             text,
    drift_points            numeric,
    severity                text
)
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
-- Without statistics a scan of the whole table would look just as cheap.
SET enable_seqscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT b.*, d.points, loyalty.drift_severity(
        -- Without an entry there is no tier to compare with.
        b.has_row AND b.cached_tier = COALESCE(b.last_tier, b.cached_tier), d.points
    )
    FROM (
        SELECT
            COALESCE(cached.player_id, summed.player_id) AS player,
            cached.player_id IS NOT NULL AS has_row,
            COALESCE(cached.current_balance, 0) AS cached_balance,
            COALESCE(summed.balance, 0) AS balance,
            COALESCE(cached.lifetime_points, 0) AS cached_lifetime,
            COALESCE(summed.lifetime, 0) AS lifetime,
            cached.tier AS cached_tier,
            loyalty.last_tier(p_casino_id, summed.player_id) AS last_tier
        FROM (
            SELECT p.casino_id, p.player_id, p.current_balance, p.lifetime_points, p.tier
            FROM loyalty.player_loyalty AS p
            WHERE p.casino_id = p_casino_id
                AND (p_player_id IS NULL OR p.player_id = p_player_id)
                AND (p_after_player IS NULL OR p.player_id > p_after_player)
                AND (p_last_player IS NULL OR p.player_id <= p_last_player)
        ) AS cached
        FULL JOIN (
            SELECT
                l.casino_id, l.player_id, sum(l.points_delta) AS balance,
                sum(l.lifetime_after) - sum(l.lifetime_before) AS lifetime
            FROM loyalty.loyalty_ledger AS l
            WHERE l.casino_id = p_casino_id
                AND (p_player_id IS NULL OR l.player_id = p_player_id)
                AND (p_after_player IS NULL OR l.player_id > p_after_player)
                AND (p_last_player IS NULL OR l.player_id <= p_last_player)
            GROUP BY l.casino_id, l.player_id
        ) AS summed
        ON summed.casino_id = cached.casino_id
            AND summed.player_id = cached.player_id
    ) AS b,
    LATERAL (
        SELECT GREATEST(
            abs(b.cached_balance - b.balance), abs(b.cached_lifetime - b.lifetime)
        ) AS points
    ) AS d
    ORDER BY b.player;
END
$$;
