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
        loyalty.last_tier(p_casino_id, p_player_id),
        (loyalty.tier_standing(program.tiers, 0)).tier
    );
END
$$;
