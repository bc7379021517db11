-- Refuses an amount in another currency than the slip's, with RS012; NULL is no amount.
CREATE OR REPLACE FUNCTION ratingslip.refuse_other_currency(
    p_slip           ratingslip.rating_slip,
    p_currency_code  text,
    p_field          text
) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF p_currency_code <> p_slip.currency_code THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS012',
            MESSAGE = 'the slip is in another currency',
            COLUMN = p_field || '.currency_code';
    END IF;
END
$$;
