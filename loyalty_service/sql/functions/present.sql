-- What time it is: the database's clock, the only one that all replicas share.
-- Everything in this schema asks here, so that a test can put tomorrow in its place.
CREATE OR REPLACE FUNCTION loyalty.present() RETURNS timestamptz
LANGUAGE sql
VOLATILE
AS $$
    SELECT clock_timestamp()
$$;
