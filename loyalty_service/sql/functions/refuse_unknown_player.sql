-- Raises LY003: the casino knows no such player.
CREATE OR REPLACE FUNCTION loyalty.refuse_unknown_player(
    p_player_id  uuid
) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'LY003',
        MESSAGE = 'the player has no points',
        DETAIL = json_build_object('playerId', p_player_id);
END
$$;
