-- How long a slip whose points are due is left alone after as many attempts of the recoverer: five
-- seconds after the close, then twice as long each time, five minutes at most, and up to half
-- as long again, so that slips that failed together do not come back together.
--
-- Five seconds are longer than any attempt takes, the close's own included. So the delay
-- is a lease too: nobody else takes a slip up while somebody is at it.
CREATE OR REPLACE FUNCTION ratingslip.recovery_delay(
    p_attempt_count  integer
) RETURNS interval
LANGUAGE sql
VOLATILE
AS $$
    SELECT least(5 * 2 ^ least(p_attempt_count, 10), 300)
        * (1 + random() / 2)
        * interval '1 second'
$$;
