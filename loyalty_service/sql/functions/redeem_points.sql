-- Takes the points that a player spends. Only an overdraw may take the balance below
-- zero, and no lower than the floor of the program in force.
--
-- Raises LY001 (context), LY002 (key used for another request), LY003 (no such
-- player), LY004 (balance too small), LY005 (below the floor).
CREATE OR REPLACE FUNCTION loyalty.redeem_points(
    p_casino_id        uuid,
    p_staff_id         uuid,
    p_role             text,
    p_correlation_id   text,
    p_acting_service   text,
    p_idempotency_key  text,
    p_fingerprint      bytea,
    p_player_id        uuid,
    p_points           bigint,
    p_note             text,
    p_allow_overdraw   boolean,
    p_reward_id        uuid,
    p_campaign_id      uuid,
    p_visit_id         uuid,
    OUT entry          loyalty.loyalty_ledger,
    OUT is_existing    boolean
)
LANGUAGE plpgsql
AS $$
DECLARE
    player    loyalty.player_loyalty;
    original  loyalty.loyalty_ledger;
    overdraw  jsonb;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entry := loyalty.draft_entry(
        'redemption', p_staff_id, p_acting_service, p_correlation_id,
        p_idempotency_key, p_fingerprint
    );
    player := loyalty.lock_player(p_casino_id, p_player_id);
    original := loyalty.find_original(p_casino_id, entry);
    is_existing := original.id IS NOT NULL;
    IF is_existing THEN
        entry := original;
        RETURN;
    END IF;
    IF player.player_id IS NULL THEN
        PERFORM loyalty.refuse_unknown_player(p_player_id);
    END IF;

    overdraw := loyalty.check_spending(player, p_points, p_allow_overdraw);
    entry.points_delta := -p_points;
    entry.source_kind := CASE WHEN p_reward_id IS NULL THEN 'staff' ELSE 'reward' END;
    entry.source_id := COALESCE(p_reward_id, p_staff_id);
    entry.campaign_id := p_campaign_id;
    entry.visit_id := p_visit_id;
    entry.note := p_note;
    entry.metadata := overdraw || jsonb_strip_nulls(jsonb_build_object('rewardId', p_reward_id));
    entry := loyalty.append_entry(player, entry, 0);
END
$$;
