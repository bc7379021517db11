-- What a player's entries after a number follow: the entry with that number, or before
-- the first one, an entry of nothing with the number 0. NULL when it is not there.
CREATE OR REPLACE FUNCTION loyalty.chain_anchor(
    p_casino_id     uuid,
    p_player_id     uuid,
    p_entry_number  bigint
) RETURNS loyalty.loyalty_ledger
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    anchor  loyalty.loyalty_ledger;
BEGIN
    IF p_entry_number = 0 THEN
        anchor.entry_number := 0;
        anchor.balance_after := 0;
        anchor.lifetime_after := 0;
        anchor.hash := loyalty.first_hash();
        RETURN anchor;
    END IF;
    SELECT l.* INTO anchor
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.player_id = p_player_id
        AND l.entry_number = p_entry_number;
    RETURN anchor;
END
$$;
