-- When the service itself tries next to get a closed slip its points, and how often it has.
ALTER TABLE ratingslip.rating_slip
    ADD COLUMN recovery_attempt_count integer NOT NULL DEFAULT 0,
    ADD COLUMN next_recovery_time timestamptz;

-- The owner is bound by row-level security like anybody else, and has no casino;
-- security.sql, which runs after every migration, binds it again.
ALTER TABLE ratingslip.rating_slip NO FORCE ROW LEVEL SECURITY;

-- What waits already is due at once.
UPDATE ratingslip.rating_slip AS s
SET next_recovery_time = s.updated_time
WHERE s.loyalty_state = 'PENDING';

ALTER TABLE ratingslip.rating_slip
    ADD CHECK (recovery_attempt_count >= 0),
    ADD CHECK ((loyalty_state = 'PENDING') = (next_recovery_time IS NOT NULL));

-- The slips that are due, the longest waiting first.
CREATE INDEX rating_slip_due
    ON ratingslip.rating_slip (casino_id, next_recovery_time)
    WHERE loyalty_state = 'PENDING';
