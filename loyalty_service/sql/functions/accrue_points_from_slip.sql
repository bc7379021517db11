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
    player  loyalty.player_loyalty;
    priced  record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    player := loyalty.lock_player(p_casino_id, p_player_id);
    entry := loyalty.find_accrual(p_casino_id, p_idempotency_key, p_fingerprint, p_rating_slip_id);
    IF player.player_id IS NULL AND entry.id IS NULL THEN
        player := loyalty.create_player(p_casino_id, p_player_id, clock_timestamp());
        -- Somebody may have written the entry while this call waited for the new row.
        entry := loyalty.find_accrual(
            p_casino_id, p_idempotency_key, p_fingerprint, p_rating_slip_id
        );
        IF entry.id IS NOT NULL AND player.entry_count = 0 THEN
            -- It is another player's: the caller runs again, and no empty row stays.
            RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'the slip was paid elsewhere';
        END IF;
    END IF;
    is_existing := entry.id IS NOT NULL;
    IF is_existing THEN
        RETURN;
    END IF;

    priced := loyalty.price_play(
        p_casino_id, player.lifetime_points,
        p_average_bet, p_currency_code, p_house_edge_percent, p_decisions_per_hour,
        p_point_multiplier, p_duration_seconds, p_start_time, p_end_time
    );
    entry.points_delta := priced.points;
    entry.metadata := priced.inputs;
    entry.reason := 'base_accrual';
    entry.source_kind := 'rating_slip';
    entry.source_id := p_rating_slip_id;
    entry.rating_slip_id := p_rating_slip_id;
    entry.visit_id := p_visit_id;
    entry.effective_time := p_end_time;
    entry.staff_id := p_staff_id;
    entry.acting_service := p_acting_service;
    entry.correlation_id := p_correlation_id;
    entry.idempotency_key := p_idempotency_key;
    entry.fingerprint := p_fingerprint;
    entry.note := '';
    entry := loyalty.append_entry(player, entry, entry.points_delta);
END
$$;
