-- The entry an accrual would repeat, or NULL. A key that was used for another
-- request is refused; a slip that accrued under another key gives its first entry.
CREATE OR REPLACE FUNCTION loyalty.find_accrual(
    p_casino_id        uuid,
    p_idempotency_key  text,
    p_fingerprint      bytea,
    p_rating_slip_id   uuid
) RETURNS loyalty.loyalty_ledger
LANGUAGE plpgsql
AS $$
DECLARE
    entry  loyalty.loyalty_ledger;
BEGIN
    SELECT l.* INTO entry
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.idempotency_key = p_idempotency_key;
    IF FOUND THEN
        IF entry.fingerprint <> p_fingerprint THEN
            RAISE EXCEPTION USING
                ERRCODE = 'LY002',
                MESSAGE = 'the idempotency key was used for another request',
                DETAIL = entry.id;
        END IF;
        RETURN entry;
    END IF;

    SELECT l.* INTO entry
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.source_kind = 'rating_slip'
        AND l.source_id = p_rating_slip_id
        AND l.reason = 'base_accrual';
    RETURN entry;
END
$$;
