-- The entry that a drafted one would repeat, or NULL: the one under its key, else
-- the one its natural key names.
--
-- Raises LY002 when the key was used for another request.
CREATE OR REPLACE FUNCTION loyalty.find_original(
    p_casino_id  uuid,
    p_draft      loyalty.loyalty_ledger
) RETURNS loyalty.loyalty_ledger
LANGUAGE plpgsql
AS $$
DECLARE
    original  loyalty.loyalty_ledger;
    payment   loyalty.loyalty_ledger;
BEGIN
    SELECT l.* INTO original
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.idempotency_key = p_draft.idempotency_key;
    IF FOUND AND original.fingerprint <> p_draft.fingerprint THEN
        -- An accrual's derived key is the slip's ID, which somebody may have used for another
        -- entry. Once that slip is paid, by a manual reward say, it is no matter any more;
        -- only an accrual of other figures is a conflict still.
        IF p_draft.reason = 'base_accrual'
            AND p_draft.idempotency_key = p_draft.source_id::text
        THEN
            payment := loyalty.find_slip_entry(p_casino_id, p_draft.source_id);
            IF payment.id <> original.id OR payment.reason = 'manual_reward' THEN
                RETURN payment;
            END IF;
        END IF;
        RAISE EXCEPTION USING
            ERRCODE = 'LY002',
            MESSAGE = 'the idempotency key was used for another request',
            DETAIL = json_build_object('entryId', original.id);
    END IF;
    IF NOT FOUND THEN
        original := CASE p_draft.reason
            WHEN 'base_accrual'  THEN loyalty.find_slip_entry(p_casino_id, p_draft.source_id)
            WHEN 'manual_reward' THEN CASE p_draft.source_kind WHEN 'rating_slip'
                THEN loyalty.find_slip_entry(p_casino_id, p_draft.source_id) END
            WHEN 'promotion'     THEN loyalty.find_promotion(
                p_casino_id, p_draft.source_kind, p_draft.source_id, p_draft.campaign_id)
            WHEN 'reversal'      THEN loyalty.find_reversal(
                p_casino_id, p_draft.reversed_entry_id)
        END;
    END IF;
    RETURN original;
END
$$;
