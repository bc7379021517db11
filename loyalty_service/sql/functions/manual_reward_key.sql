-- The key of a manual reward whose caller brought none: that of the reward, else
-- that of the slip it pays for, else one that the same reward by the same person has
-- until the casino's gaming day is over.
CREATE OR REPLACE FUNCTION loyalty.manual_reward_key(
    p_casino_id       uuid,
    p_player_id       uuid,
    p_staff_id        uuid,
    p_points          bigint,
    p_note            text,
    p_rating_slip_id  uuid,
    p_reward_id       uuid
) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
    day     CONSTANT date
        := loyalty.gaming_day(loyalty.program_in_force(p_casino_id, moment), moment);
BEGIN
    RETURN CASE
        WHEN p_reward_id IS NOT NULL THEN 'reward_' || p_reward_id
        WHEN p_rating_slip_id IS NOT NULL THEN 'recovery_' || p_rating_slip_id
        ELSE encode(sha256(convert_to(
            jsonb_build_array(p_player_id, p_staff_id, p_points, p_note, day)::text, 'UTF8'
        )), 'hex')
    END;
END
$$;
