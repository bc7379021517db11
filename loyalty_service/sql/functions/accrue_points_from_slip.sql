-- Credits the points of one closed rating slip: once, whoever asks how often.
--
-- The player's row is locked first, so that the tier which sets the multiplier,
-- the balance and the entry number cannot move until the entry is written.
--
-- Raises LY001 (context), LY002 (key used for another request), 22003 (the points
-- or the balance do not fit in 64 bits).
CREATE OR REPLACE FUNCTION loyalty.accrue_points_from_slip(
    p_casino_id           uuid,
    p_staff_id            uuid,
    p_role                text,
    p_correlation_id      text,
    p_acting_service      text,
    p_idempotency_key     text,
    p_fingerprint         bytea,
    p_player_id           uuid,
    p_rating_slip_id      uuid,
    p_visit_id            uuid,
    p_average_bet         numeric,
    p_currency_code       text,
    p_house_edge_percent  numeric,
    p_decisions_per_hour  integer,
    p_point_multiplier    numeric,
    p_duration_seconds    bigint,
    p_start_time          timestamptz,
    p_end_time            timestamptz,
    OUT entry             loyalty.loyalty_ledger,
    OUT is_existing       boolean
)
LANGUAGE plpgsql
AS $$
DECLARE
    account  record;
    priced   record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entry := loyalty.draft_entry(
        'base_accrual', p_staff_id, p_acting_service, p_correlation_id,
        p_idempotency_key, p_fingerprint
    );
    entry.source_kind := 'rating_slip';
    entry.source_id := p_rating_slip_id;
    entry.rating_slip_id := p_rating_slip_id;
    entry.visit_id := p_visit_id;
    entry.effective_time := p_end_time;
    account := loyalty.claim_account(p_casino_id, p_player_id, entry);
    is_existing := (account.original).id IS NOT NULL;
    IF is_existing THEN
        entry := account.original;
        RETURN;
    END IF;

    priced := loyalty.price_play(
        p_casino_id, (account.player).lifetime_points,
        p_average_bet, p_currency_code, p_house_edge_percent, p_decisions_per_hour,
        p_point_multiplier, p_duration_seconds, p_start_time, p_end_time
    );
    entry.points_delta := priced.points;
    entry.metadata := priced.inputs;
    entry := loyalty.append_entry(account.player, entry, entry.points_delta);
END
$$;
