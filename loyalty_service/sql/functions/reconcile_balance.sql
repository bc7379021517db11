-- Sets what is cached for a player to what the entries say, and answers with what was
-- cached before (`finding`, a row of loyalty.compare_balances) and the standing now.
-- Where nothing is wrong nothing is written; else there is one audit row.
--
-- Entries that do not verify are no ground to repair a balance on.
--
-- Raises LY001 (context), LY003 (neither row nor entry), LY013 (the entries do not
-- verify).
CREATE OR REPLACE FUNCTION loyalty.reconcile_balance(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text,
    p_player_id       uuid,
    p_reason          text
) RETURNS TABLE (
    finding           jsonb,
    is_repaired       boolean,
    player_id         uuid,
    current_balance   bigint,
    lifetime_points   bigint,
    tier              text,
    progress_percent  integer,
    next_tier         text,
    points_to_next    bigint,
    entry_count       bigint,
    created_time      timestamptz,
    updated_time      timestamptz
)
LANGUAGE plpgsql
AS $$
DECLARE
    moment     CONSTANT timestamptz := loyalty.present();
    player     loyalty.player_loyalty;
    compared   record;
    cached     jsonb;
    corrected  jsonb;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    player := loyalty.lock_player(p_casino_id, p_player_id);
    SELECT c.* INTO compared
    FROM loyalty.compare_balances(p_casino_id, p_player_id, NULL, NULL) AS c;
    IF NOT FOUND THEN
        PERFORM loyalty.refuse_unknown_player(p_player_id);
    END IF;
    PERFORM loyalty.refuse_broken_ledger(p_casino_id, p_player_id);

    cached := loyalty.standing_of(player);
    player.casino_id := p_casino_id;
    player.player_id := p_player_id;
    player.current_balance := compared.ledger_balance;
    player.lifetime_points := compared.ledger_lifetime_points;
    player.tier := loyalty.ledger_tier(p_casino_id, p_player_id);
    corrected := loyalty.standing_of(player);
    is_repaired := corrected IS DISTINCT FROM cached;
    IF is_repaired THEN
        PERFORM loyalty.repair_balance(cached IS NULL, player);
        INSERT INTO loyalty.loyalty_audit (
            casino_id, recorded_time, staff_id, player_id, role, action, correlation_id,
            before, after
        )
        VALUES (
            p_casino_id, moment, p_staff_id, p_player_id, p_role, 'reconcile_balance',
            p_correlation_id, cached, corrected || jsonb_build_object('reason', p_reason)
        );
    END IF;
    RETURN QUERY
    SELECT to_jsonb(compared), is_repaired, g.*
    FROM loyalty.get_player_loyalty(
        p_casino_id, p_staff_id, p_role, p_correlation_id, p_player_id
    ) AS g;
END
$$;
