-- The entry that has paid a slip, or NULL: its accrual, or the manual reward that
-- was given in its place.
CREATE OR REPLACE FUNCTION loyalty.find_slip_entry(
    p_casino_id       uuid,
    p_rating_slip_id  uuid
) RETURNS loyalty.loyalty_ledger
LANGUAGE sql
STABLE
AS $$
    SELECT l.*
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.source_kind = 'rating_slip'
        AND l.source_id = p_rating_slip_id
        AND l.reason IN ('base_accrual', 'manual_reward')
$$;
