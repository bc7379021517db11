-- Compares one batch of players, or one player, with the ledger, and writes an audit
-- row for each finding. last_player is where to go on from; NULL when all are done.
-- Findings are rows of loyalty.compare_balances in the order of players.
--
-- Raises LY001 (context).
CREATE OR REPLACE FUNCTION loyalty.check_balance_drift(
    p_casino_id          uuid,
    p_staff_id           uuid,
    p_role               text,
    p_correlation_id     text,
    p_player_id          uuid,
    p_after_player       uuid,
    p_player_limit       integer,
    p_entry_limit        integer,
    OUT players_checked  bigint,
    OUT last_player      uuid,
    OUT findings         jsonb
)
LANGUAGE plpgsql
AS $$
DECLARE
    moment   CONSTANT timestamptz := loyalty.present();
    finding  jsonb;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    IF p_player_id IS NULL THEN
        last_player := loyalty.drift_batch_end(
            p_casino_id, p_after_player, p_player_limit, p_entry_limit
        );
    END IF;
    SELECT
        count(*),
        COALESCE(jsonb_agg(to_jsonb(c)) FILTER (WHERE c.severity IS NOT NULL), '[]')
    INTO players_checked, findings
    FROM loyalty.compare_balances(p_casino_id, p_player_id, p_after_player, last_player) AS c;

    FOR finding IN SELECT f.value FROM jsonb_array_elements(findings) AS f LOOP
        INSERT INTO loyalty.loyalty_audit (
            casino_id, recorded_time, staff_id, player_id, role, action, correlation_id,
            before, after
        )
        VALUES (
            p_casino_id, moment, CASE WHEN p_role <> 'scheduler' THEN p_staff_id END,
            (finding ->> 'player_id')::uuid, p_role, 'balance_drift_found', p_correlation_id,
            -- Nothing was cached without a row.
            CASE WHEN (finding -> 'has_balance')::boolean THEN jsonb_build_object(
                'current_balance', finding -> 'current_balance',
                'lifetime_points', finding -> 'lifetime_points',
                'tier', finding -> 'tier'
            ) END,
            jsonb_build_object(
                'current_balance', finding -> 'ledger_balance',
                'lifetime_points', finding -> 'ledger_lifetime_points',
                'tier', finding -> 'ledger_tier',
                'drift_points', finding -> 'drift_points',
                'severity', finding -> 'severity'
            )
        );
    END LOOP;
END
$$;
