-- The hash of an entry: SHA-256 over the hash before it and everything it says, in
-- this order, as the text of a JSON array. Times are microseconds since 1970.
--
-- A column that is added later must leave the hash of an entry without it as it is.
CREATE OR REPLACE FUNCTION loyalty.entry_hash(
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
