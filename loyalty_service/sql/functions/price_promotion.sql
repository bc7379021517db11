-- What a promotion pays, and every input of that: the bonus, or the part by which a
-- multiplier goes beyond what the slip's base accrual has paid already, rounded as
-- that accrual was.
--
-- Raises LY008 (the player has no base accrual for the slip, or it was reversed),
-- LY009 (it comes to no points), 22003.
CREATE OR REPLACE FUNCTION loyalty.price_promotion(
    p_casino_id       uuid,
    p_player_id       uuid,
    p_rating_slip_id  uuid,
    p_bonus_points    bigint,
    p_multiplier      numeric,
    OUT points        bigint,
    OUT inputs        jsonb
)
LANGUAGE plpgsql
AS $$
DECLARE
    base  loyalty.loyalty_ledger;
BEGIN
    IF p_bonus_points IS NOT NULL THEN
        points := p_bonus_points;
        inputs := jsonb_build_object('bonusPoints', p_bonus_points::text);
        RETURN;
    END IF;
    base := loyalty.find_slip_entry(p_casino_id, p_rating_slip_id);
    IF base.id IS NULL OR base.reason <> 'base_accrual' OR base.player_id <> p_player_id
        OR (loyalty.find_reversal(p_casino_id, base.id)).id IS NOT NULL
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY008',
            MESSAGE = 'the slip has no base accrual for the player',
            DETAIL = json_build_object('slipId', p_rating_slip_id);
    END IF;
    points := loyalty.rounded(
        base.points_delta * (p_multiplier - 1), 1, base.metadata ->> 'rounding'
    );
    IF points = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY009',
            MESSAGE = 'the promotion comes to no points',
            DETAIL = json_build_object(
                'basePoints', base.points_delta::text, 'multiplier', p_multiplier::text
            );
    END IF;
    inputs := jsonb_build_object(
        'multiplier', p_multiplier::text,
        'baseEntryId', base.id,
        'basePoints', base.points_delta::text,
        'rounding', base.metadata ->> 'rounding'
    );
END
$$;
