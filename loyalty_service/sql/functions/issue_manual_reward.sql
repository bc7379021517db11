-- Gives points by hand (a manual reward), or takes some (an adjustment).
--
-- A reward for a slip is the slip's one payment, if it is the first. Without a key
-- of the caller's own it is derived here, where the casino's gaming day is known.
--
-- Raises LY001 (context), LY002 (key used for another request), LY003 (an adjustment
-- of a player without points), 22003 (the balance does not fit in 64 bits).
CREATE OR REPLACE FUNCTION loyalty.issue_manual_reward(
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
    p_rating_slip_id   uuid,
    p_visit_id         uuid,
    p_reward_id        uuid,
    OUT entry          loyalty.loyalty_ledger,
    OUT is_existing    boolean
)
LANGUAGE plpgsql
AS $$
DECLARE
    is_reward  CONSTANT boolean := p_points > 0;
    account    record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entry := loyalty.draft_entry(
        CASE WHEN is_reward THEN 'manual_reward' ELSE 'adjustment' END,
        p_staff_id, p_acting_service, p_correlation_id,
        COALESCE(p_idempotency_key, loyalty.manual_reward_key(
            p_casino_id, p_player_id, p_staff_id, p_points, p_note, p_rating_slip_id, p_reward_id
        )),
        p_fingerprint
    );
    entry.source_kind := CASE
        WHEN p_rating_slip_id IS NOT NULL THEN 'rating_slip'
        WHEN p_reward_id IS NOT NULL THEN 'reward'
        ELSE 'staff'
    END;
    entry.source_id := COALESCE(p_rating_slip_id, p_reward_id, p_staff_id);
    entry.points_delta := p_points;
    entry.note := p_note;
    entry.rating_slip_id := p_rating_slip_id;
    entry.visit_id := p_visit_id;
    entry.metadata := jsonb_strip_nulls(jsonb_build_object('rewardId', p_reward_id));
    account := loyalty.claim_account(p_casino_id, p_player_id, entry);
    is_existing := (account.original).id IS NOT NULL;
    IF is_existing THEN
        entry := account.original;
        RETURN;
    END IF;
    IF NOT is_reward AND (account.player).entry_count = 0 THEN
        -- The row was made just now: there is nothing to correct.
        PERFORM loyalty.refuse_unknown_player(p_player_id);
    END IF;
    entry := loyalty.append_entry(
        account.player, entry, CASE WHEN is_reward THEN p_points ELSE 0 END
    );
END
$$;
