-- Raises LY013 with the first entry that does not fit, when a player's chain does not
-- verify to its end.
CREATE OR REPLACE FUNCTION loyalty.refuse_broken_ledger(
    p_casino_id  uuid,
    p_player_id  uuid
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    -- How many entries are read at a time.
    batch     CONSTANT bigint := 1000;
    verified  record;
    reached   bigint := 0;
BEGIN
    LOOP
        verified := loyalty.verify_player(p_casino_id, p_player_id, reached, batch);
        IF verified.fault IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'LY013',
                MESSAGE = 'the ledger of the player does not verify',
                DETAIL = json_build_object(
                    'playerId', p_player_id, 'entryNumber', verified.entry_number::text
                );
        END IF;
        EXIT WHEN verified.is_complete;
        reached := verified.last_number;
    END LOOP;
END
$$;
