-- Takes back one earlier entry, once, with a compensating one that names it. What
-- was earned is taken off the lifetime points too; the balance may fall below zero.
--
-- Raises LY001 (context), LY002 (key used for another request), LY006 (no such
-- entry), LY007 (a reversal cannot be reversed), 22003.
CREATE OR REPLACE FUNCTION loyalty.reverse_entry(
    p_casino_id        uuid,
    p_staff_id         uuid,
    p_role             text,
    p_correlation_id   text,
    p_acting_service   text,
    p_idempotency_key  text,
    p_fingerprint      bytea,
    p_entry_id         uuid,
    p_note             text,
    OUT entry          loyalty.loyalty_ledger,
    OUT is_existing    boolean
)
LANGUAGE plpgsql
AS $$
DECLARE
    reversed  loyalty.loyalty_ledger;
    original  loyalty.loyalty_ledger;
    player    loyalty.player_loyalty;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    -- An entry never changes, so it can be read before its player is locked.
    reversed := loyalty.find_entry(p_casino_id, p_entry_id);
    player := loyalty.lock_player(p_casino_id, reversed.player_id);
    entry := loyalty.draft_entry(
        'reversal', p_staff_id, p_acting_service, p_correlation_id,
        p_idempotency_key, p_fingerprint
    );
    entry.reversed_entry_id := p_entry_id;
    original := loyalty.find_original(p_casino_id, entry);
    is_existing := original.id IS NOT NULL;
    IF is_existing THEN
        entry := original;
        RETURN;
    END IF;
    PERFORM loyalty.refuse_irreversible(p_entry_id, reversed);

    entry.points_delta := -reversed.points_delta;
    entry.source_kind := 'entry';
    entry.source_id := p_entry_id;
    entry.rating_slip_id := reversed.rating_slip_id;
    entry.visit_id := reversed.visit_id;
    entry.campaign_id := reversed.campaign_id;
    entry.note := p_note;
    entry := loyalty.append_entry(
        player, entry, reversed.lifetime_before - reversed.lifetime_after
    );
END
$$;
