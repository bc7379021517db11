-- The first entry of a player that does not fit, as verify_ledger() reports it. Which
-- faults there are stands with verify_player().
CREATE TYPE loyalty.chain_break AS (
    player_id     uuid,
    entry_number  bigint,
    entry_id      uuid,
    fault         text
);
