-- What a campaign has paid for a source, or NULL.
CREATE OR REPLACE FUNCTION loyalty.find_promotion(
    p_casino_id    uuid,
    p_source_kind  text,
    p_source_id    uuid,
    p_campaign_id  uuid
) RETURNS loyalty.loyalty_ledger
LANGUAGE sql
STABLE
AS $$
    SELECT l.*
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.source_kind = p_source_kind
        AND l.source_id = p_source_id
        AND l.campaign_id = p_campaign_id
        AND l.reason = 'promotion'
$$;
