-- Whether an entry goes on where the one before it ended. A player's first tier is
-- what the program gives to a newcomer; there is nothing to join it with.
CREATE OR REPLACE FUNCTION loyalty.is_joined(
    p_previous  loyalty.loyalty_ledger,
    p_entry     loyalty.loyalty_ledger
) RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
AS $$
BEGIN
    RETURN p_entry.previous_hash IS NOT DISTINCT FROM p_previous.hash
        AND p_entry.balance_before IS NOT DISTINCT FROM p_previous.balance_after
        AND p_entry.lifetime_before IS NOT DISTINCT FROM p_previous.lifetime_after
        AND (
            p_previous.entry_number = 0
            OR p_entry.tier_before IS NOT DISTINCT FROM p_previous.tier_after
        );
END
$$;
