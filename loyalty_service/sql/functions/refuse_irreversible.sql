-- Raises LY006 when there is no entry to reverse, and LY007 when it is a reversal.
CREATE OR REPLACE FUNCTION loyalty.refuse_irreversible(
    p_entry_id  uuid,
    p_entry     loyalty.loyalty_ledger
) RETURNS void
LANGUAGE plpgsql
IMMUTABLE
AS $$
BEGIN
    IF p_entry.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY006',
            MESSAGE = 'there is no such entry',
            DETAIL = json_build_object('entryId', p_entry_id);
    END IF;
    IF p_entry.reason = 'reversal' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY007',
            MESSAGE = 'a reversal cannot be reversed',
            DETAIL = json_build_object('entryId', p_entry_id);
    END IF;
END
$$;
