-- Chains each player's entries by hash, so that a change, a gap or a missing tail
-- shows, whoever made it. Entries that are there already are chained as they stand.

ALTER TABLE loyalty.player_loyalty ADD COLUMN head_hash bytea;
ALTER TABLE loyalty.loyalty_ledger
    ADD COLUMN previous_hash bytea,
    ADD COLUMN hash bytea;

-- The first version of the function of this name; later ones must give these
-- entries the same hash.
CREATE FUNCTION loyalty.entry_hash(
    p_entry  loyalty.loyalty_ledger
) RETURNS bytea
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT sha256(p_entry.previous_hash || convert_to(jsonb_build_array(
        p_entry.casino_id, p_entry.id, p_entry.player_id, p_entry.entry_number,
        p_entry.points_delta, p_entry.balance_before, p_entry.balance_after,
        p_entry.lifetime_before, p_entry.lifetime_after,
        p_entry.tier_before, p_entry.tier_after, p_entry.tier_progress_percent,
        p_entry.reason, p_entry.source_kind, p_entry.source_id,
        p_entry.rating_slip_id, p_entry.visit_id, p_entry.campaign_id,
        p_entry.reversed_entry_id, p_entry.staff_id, p_entry.acting_service,
        p_entry.correlation_id, p_entry.idempotency_key, encode(p_entry.fingerprint, 'hex'),
        p_entry.note, p_entry.metadata, p_entry.gaming_day,
        (extract(epoch FROM p_entry.recorded_time) * 1000000)::bigint,
        (extract(epoch FROM p_entry.effective_time) * 1000000)::bigint
    )::text, 'UTF8'))
$$;

-- The owner is bound by row-level security like anybody else, and has no casino;
-- security.sql, which runs after every migration, binds it again.
ALTER TABLE loyalty.player_loyalty NO FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_ledger NO FORCE ROW LEVEL SECURITY;

DO $$
DECLARE
    entry   loyalty.loyalty_ledger;
    -- What stands before a player's first entry.
    origin  CONSTANT bytea := decode(repeat('00', 32), 'hex');
    head    bytea;
BEGIN
    FOR entry IN
        SELECT l.*
        FROM loyalty.loyalty_ledger AS l
        ORDER BY l.casino_id, l.player_id, l.entry_number
    LOOP
        entry.previous_hash := CASE entry.entry_number WHEN 1 THEN origin ELSE head END;
        head := loyalty.entry_hash(entry);
        UPDATE loyalty.loyalty_ledger AS l
        SET previous_hash = entry.previous_hash,
            hash = head
        WHERE l.casino_id = entry.casino_id
            AND l.id = entry.id;
        UPDATE loyalty.player_loyalty AS p
        SET head_hash = head
        WHERE p.casino_id = entry.casino_id
            AND p.player_id = entry.player_id;
    END LOOP;
    UPDATE loyalty.player_loyalty SET head_hash = origin WHERE head_hash IS NULL;
END
$$;

ALTER TABLE loyalty.player_loyalty
    ALTER COLUMN head_hash SET NOT NULL,
    ADD CHECK (octet_length(head_hash) = 32);
ALTER TABLE loyalty.loyalty_ledger
    ALTER COLUMN previous_hash SET NOT NULL,
    ALTER COLUMN hash SET NOT NULL,
    ADD CHECK (octet_length(previous_hash) = 32 AND octet_length(hash) = 32);
