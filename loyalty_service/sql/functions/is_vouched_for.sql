-- Whether the entry after it, or after the last one the player's row, holds the hash
-- of an entry.
CREATE OR REPLACE FUNCTION loyalty.is_vouched_for(
    p_head_hash  bytea,
    p_entry      loyalty.loyalty_ledger
) RETURNS boolean
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    following  loyalty.loyalty_ledger
        := loyalty.chain_anchor(p_entry.casino_id, p_entry.player_id, p_entry.entry_number + 1);
BEGIN
    RETURN COALESCE(COALESCE(following.previous_hash, p_head_hash) = p_entry.hash, false);
END
$$;
