-- Begins a credit: locks the player's row, which is made when nobody has seen the
-- player, and looks for the entry that the drafted one would repeat.
--
-- Raises LY002 (key used for another request), and 40001, upon which the caller runs
-- again, when the entry turns up while this call waits for the new row.
CREATE OR REPLACE FUNCTION loyalty.claim_account(
    p_casino_id   uuid,
    p_player_id   uuid,
    p_draft       loyalty.loyalty_ledger,
    OUT player    loyalty.player_loyalty,
    OUT original  loyalty.loyalty_ledger
)
LANGUAGE plpgsql
AS $$
BEGIN
    player := loyalty.lock_player(p_casino_id, p_player_id);
    original := loyalty.find_original(p_casino_id, p_draft);
    IF player.player_id IS NULL AND original.id IS NULL THEN
        player := loyalty.create_player(p_casino_id, p_player_id);
        original := loyalty.find_original(p_casino_id, p_draft);
        IF original.id IS NOT NULL AND player.entry_count = 0 THEN
            -- It is another player's: no empty row may stay for this one.
            RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'it was credited elsewhere';
        END IF;
    END IF;
END
$$;
