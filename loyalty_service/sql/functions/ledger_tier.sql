-- The tier that a player's entries have left the player in; the first one of today's
-- program when there are none.
CREATE OR REPLACE FUNCTION loyalty.ledger_tier(
    p_casino_id  uuid,
    p_player_id  uuid
) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    program  CONSTANT loyalty.loyalty_program
        := loyalty.program_in_force(p_casino_id, loyalty.present());
BEGIN
    RETURN COALESCE(
        (
            SELECT l.tier_after
            FROM loyalty.loyalty_ledger AS l
            WHERE l.casino_id = p_casino_id
                AND l.player_id = p_player_id
            ORDER BY l.entry_number DESC
            LIMIT 1
        ),
        (loyalty.tier_standing(program.tiers, 0)).tier
    );
END
$$;
