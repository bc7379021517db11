-- Refuses to take more points than a locked player may spend. What an overdraw was
-- judged by is returned for the entry's metadata; nothing, when it is none.
--
-- Raises LY004 (balance too small), LY005 (below the floor).
CREATE OR REPLACE FUNCTION loyalty.check_spending(
    p_player          loyalty.player_loyalty,
    p_points          bigint,
    p_allow_overdraw  boolean
) RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
    -- Numeric: far below zero the difference need not fit in 64 bits, and is refused.
    balance  CONSTANT numeric := p_player.current_balance;
    program  loyalty.loyalty_program;
BEGIN
    IF balance - p_points >= 0 THEN
        RETURN '{}';
    END IF;
    IF NOT p_allow_overdraw THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY004',
            MESSAGE = 'the balance is too small',
            DETAIL = json_build_object('balance', balance::text, 'points', p_points::text);
    END IF;
    program := loyalty.program_in_force(p_player.casino_id, loyalty.present());
    IF balance - p_points < program.overdraw_floor THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY005',
            MESSAGE = 'the overdraw goes below the floor',
            DETAIL = json_build_object(
                'balance', balance::text,
                'points', p_points::text,
                'overdrawFloor', program.overdraw_floor::text
            );
    END IF;
    RETURN jsonb_build_object('overdrawFloor', program.overdraw_floor::text);
END
$$;
