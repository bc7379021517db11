-- Gives a player nobody has seen an empty row, locked. Two callers at once both
-- come back with the same row: the second waits for the first to commit.
CREATE OR REPLACE FUNCTION loyalty.create_player(
    p_casino_id  uuid,
    p_player_id  uuid
) RETURNS loyalty.player_loyalty
LANGUAGE plpgsql
AS $$
DECLARE
    moment   CONSTANT timestamptz := loyalty.present();
    program  CONSTANT loyalty.loyalty_program := loyalty.program_in_force(p_casino_id, moment);
BEGIN
    INSERT INTO loyalty.player_loyalty (
        casino_id, player_id, current_balance, lifetime_points, entry_count,
        created_time, updated_time, tier, head_hash
    )
    VALUES (
        p_casino_id, p_player_id, 0, 0, 0,
        moment, moment, (loyalty.tier_standing(program.tiers, 0)).tier, loyalty.first_hash()
    )
    ON CONFLICT (casino_id, player_id) DO NOTHING;
    RETURN loyalty.lock_player(p_casino_id, p_player_id);
END
$$;
