-- What stands before a player's first entry in the chain.
CREATE OR REPLACE FUNCTION loyalty.first_hash() RETURNS bytea
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT decode(repeat('00', 32), 'hex')
$$;
