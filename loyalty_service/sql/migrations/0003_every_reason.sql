-- What the entries of every reason have in common, now that all of them are written.

-- A slip is paid once: by its accrual, or by a manual reward in its place.
CREATE UNIQUE INDEX loyalty_ledger_pays_slip_once
    ON loyalty.loyalty_ledger (casino_id, source_kind, source_id)
    WHERE reason IN ('base_accrual', 'manual_reward') AND source_kind = 'rating_slip';
DROP INDEX loyalty.loyalty_ledger_accrues_once;

ALTER TABLE loyalty.loyalty_ledger
    ADD CHECK (
        CASE reason
            WHEN 'base_accrual'  THEN source_kind = 'rating_slip'
            WHEN 'manual_reward' THEN source_kind IN ('rating_slip', 'reward', 'staff')
            WHEN 'adjustment'    THEN source_kind IN ('reward', 'staff')
            WHEN 'promotion'     THEN source_kind IN ('rating_slip', 'visit', 'player')
            WHEN 'redemption'    THEN source_kind IN ('reward', 'staff')
            WHEN 'reversal'      THEN source_kind = 'entry'
            ELSE false
        END
    ),
    ADD CHECK (reason <> 'promotion' OR campaign_id IS NOT NULL),
    ADD CHECK ((reason = 'reversal') = (reversed_entry_id IS NOT NULL));

-- When each casino's balances are checked next, and which instance is at it.
CREATE TABLE loyalty.drift_schedule (
    casino_id     uuid         NOT NULL,
    next_time     timestamptz  NOT NULL,
    lease_until   timestamptz,
    lease_holder  uuid,
    last_time     timestamptz,
    PRIMARY KEY (casino_id)
);

-- See 0002: as the owner, before security.sql.
ALTER TABLE loyalty.player_loyalty NO FORCE ROW LEVEL SECURITY;
INSERT INTO loyalty.drift_schedule (casino_id, next_time)
SELECT p.casino_id, max(p.updated_time)
FROM loyalty.player_loyalty AS p
GROUP BY p.casino_id;

-- What the functions beside these migrations have replaced.
DROP FUNCTION IF EXISTS loyalty.find_accrual(uuid, text, bytea, uuid);
DROP FUNCTION IF EXISTS loyalty.create_player(uuid, uuid, timestamptz);
