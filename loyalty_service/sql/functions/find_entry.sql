-- One entry, or NULL.
CREATE OR REPLACE FUNCTION loyalty.find_entry(
    p_casino_id  uuid,
    p_entry_id   uuid
) RETURNS loyalty.loyalty_ledger
LANGUAGE sql
STABLE
AS $$
    SELECT l.*
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.id = p_entry_id
$$;
