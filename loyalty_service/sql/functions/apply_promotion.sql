-- Credits what a campaign pays, once for each source: p_bonus_points, or when that
-- is NULL the slip's base accrual times p_multiplier, less what was accrued.
--
-- Raises LY001 (context), LY002 (key used for another request), LY008 (no base
-- accrual), LY009 (no points), 22003.
CREATE OR REPLACE FUNCTION loyalty.apply_promotion(
    p_casino_id        uuid,
    p_staff_id         uuid,
    p_role             text,
    p_correlation_id   text,
    p_acting_service   text,
    p_idempotency_key  text,
    p_fingerprint      bytea,
    p_player_id        uuid,
    p_campaign_id      uuid,
    p_source_kind      text,
    p_source_id        uuid,
    p_bonus_points     bigint,
    p_multiplier       numeric,
    p_note             text,
    OUT entry          loyalty.loyalty_ledger,
    OUT is_existing    boolean
)
LANGUAGE plpgsql
AS $$
DECLARE
    account  record;
    priced   record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entry := loyalty.draft_entry(
        'promotion', p_staff_id, p_acting_service, p_correlation_id,
        p_idempotency_key, p_fingerprint
    );
    entry.source_kind := p_source_kind;
    entry.source_id := p_source_id;
    entry.campaign_id := p_campaign_id;
    entry.rating_slip_id := CASE p_source_kind WHEN 'rating_slip' THEN p_source_id END;
    entry.visit_id := CASE p_source_kind WHEN 'visit' THEN p_source_id END;
    entry.note := p_note;
    account := loyalty.claim_account(p_casino_id, p_player_id, entry);
    is_existing := (account.original).id IS NOT NULL;
    IF is_existing THEN
        entry := account.original;
        RETURN;
    END IF;

    priced := loyalty.price_promotion(
        p_casino_id, p_player_id, p_source_id, p_bonus_points, p_multiplier
    );
    entry.points_delta := priced.points;
    entry.metadata := priced.inputs;
    entry := loyalty.append_entry(account.player, entry, entry.points_delta);
END
$$;
