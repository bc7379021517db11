-- Puts the verified context into the transaction, where the policies read it.
-- Transaction-local, so nothing leaks through a pooler. An incomplete context is
-- refused here, before any row is looked at.
CREATE OR REPLACE FUNCTION ratingslip.set_context(
    p_casino_id       uuid,
    p_staff_id        uuid,
    p_role            text,
    p_correlation_id  text
) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF p_casino_id IS NULL OR p_staff_id IS NULL
        OR COALESCE(p_role, '') NOT IN (
            'dealer', 'cashier', 'pit_boss', 'admin', 'service', 'scheduler'
        )
        OR COALESCE(p_correlation_id, '') = ''
    THEN
        RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = 'the context is incomplete';
    END IF;
    PERFORM set_config('app.casino_id', p_casino_id::text, true),
            set_config('app.staff_id', p_staff_id::text, true),
            set_config('app.role', p_role, true),
            set_config('app.correlation_id', p_correlation_id, true);
END
$$;
