-- An entry that says why, who and under which key, and nothing yet of what it moves.
CREATE OR REPLACE FUNCTION loyalty.draft_entry(
    p_reason           text,
    p_staff_id         uuid,
    p_acting_service   text,
    p_correlation_id   text,
    p_idempotency_key  text,
    p_fingerprint      bytea
) RETURNS loyalty.loyalty_ledger
LANGUAGE plpgsql
IMMUTABLE
AS $$
DECLARE
    draft  loyalty.loyalty_ledger;
BEGIN
    draft.reason := p_reason;
    draft.staff_id := p_staff_id;
    draft.acting_service := p_acting_service;
    draft.correlation_id := p_correlation_id;
    draft.idempotency_key := p_idempotency_key;
    draft.fingerprint := p_fingerprint;
    RETURN draft;
END
$$;
