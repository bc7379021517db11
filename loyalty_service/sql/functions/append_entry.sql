-- Writes one entry at the end of a locked player's ledger and moves the balance
-- along with it. The only place where either is written.
--
-- The caller fills what happened (points, reason, source, who, key); this function
-- fills what follows from it: number, before and after, tier, day, time and hash.
-- p_earned is what the entry adds to the lifetime points.
--
-- Raises LY014 when the balance is not what the ledger says, 22003 when one would not
-- fit in 64 bits.
CREATE OR REPLACE FUNCTION loyalty.append_entry(
    p_player  loyalty.player_loyalty,
    p_entry   loyalty.loyalty_ledger,
    p_earned  bigint
) RETURNS loyalty.loyalty_ledger
LANGUAGE plpgsql
AS $$
DECLARE
    moment    CONSTANT timestamptz := loyalty.present();
    program   CONSTANT loyalty.loyalty_program
        := loyalty.program_in_force(p_player.casino_id, moment);
    standing  record;
BEGIN
    PERFORM loyalty.refuse_drifted_balance(p_player);
    p_entry.id := gen_random_uuid();
    p_entry.casino_id := p_player.casino_id;
    p_entry.player_id := p_player.player_id;
    p_entry.entry_number := p_player.entry_count + 1;
    p_entry.balance_before := p_player.current_balance;
    p_entry.balance_after := p_player.current_balance + p_entry.points_delta;
    p_entry.lifetime_before := p_player.lifetime_points;
    p_entry.lifetime_after := p_player.lifetime_points + p_earned;
    standing := loyalty.tier_standing(program.tiers, p_entry.lifetime_after);
    p_entry.tier_before := p_player.tier;
    p_entry.tier_after := standing.tier;
    p_entry.tier_progress_percent := standing.progress_percent;
    p_entry.recorded_time := moment;
    p_entry.effective_time := COALESCE(p_entry.effective_time, moment);
    p_entry.gaming_day := loyalty.gaming_day(program, moment);
    p_entry.note := COALESCE(p_entry.note, '');
    p_entry.metadata := COALESCE(p_entry.metadata, '{}');
    p_entry.previous_hash := p_player.head_hash;
    p_entry.hash := loyalty.entry_hash(p_entry);

    INSERT INTO loyalty.loyalty_ledger VALUES (p_entry.*);

    UPDATE loyalty.player_loyalty AS p
    SET current_balance = p_entry.balance_after,
        lifetime_points = p_entry.lifetime_after,
        entry_count = p_entry.entry_number,
        head_hash = p_entry.hash,
        tier = p_entry.tier_after,
        updated_time = p_entry.recorded_time
    WHERE p.casino_id = p_player.casino_id
        AND p.player_id = p_player.player_id;
    RETURN p_entry;
END
$$;
