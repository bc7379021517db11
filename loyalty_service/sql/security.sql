-- What the service's role may do, and which rows it may do it to. Reapplied as a
-- whole whenever its text changes, so every statement can run again.
--
-- A policy reads the context with current_setting() and no default: a context
-- that was never set, or is empty, is an error and never means "any".

GRANT USAGE ON SCHEMA loyalty TO loyalty_service;
REVOKE ALL ON ALL TABLES IN SCHEMA loyalty FROM PUBLIC, loyalty_service;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA loyalty FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA loyalty TO loyalty_service;

GRANT SELECT ON loyalty.schema_migration TO loyalty_service;
GRANT SELECT, INSERT ON loyalty.loyalty_program TO loyalty_service;
GRANT SELECT, INSERT, UPDATE ON loyalty.player_loyalty TO loyalty_service;
GRANT SELECT, INSERT ON loyalty.loyalty_ledger TO loyalty_service;
GRANT SELECT, INSERT ON loyalty.loyalty_audit TO loyalty_service;
GRANT SELECT, INSERT, UPDATE ON loyalty.drift_schedule TO loyalty_service;

ALTER TABLE loyalty.loyalty_program ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_program FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.player_loyalty ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.player_loyalty FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_ledger FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_audit FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.drift_schedule ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.drift_schedule FORCE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own_casino ON loyalty.loyalty_program;
CREATE POLICY own_casino ON loyalty.loyalty_program
    USING (casino_id = current_setting('app.casino_id')::uuid);

DROP POLICY IF EXISTS own_casino ON loyalty.player_loyalty;
CREATE POLICY own_casino ON loyalty.player_loyalty
    USING (casino_id = current_setting('app.casino_id')::uuid);

DROP POLICY IF EXISTS own_casino ON loyalty.loyalty_audit;
CREATE POLICY own_casino ON loyalty.loyalty_audit
    USING (casino_id = current_setting('app.casino_id')::uuid);

DROP POLICY IF EXISTS own_casino ON loyalty.loyalty_ledger;
CREATE POLICY own_casino ON loyalty.loyalty_ledger
    USING (casino_id = current_setting('app.casino_id')::uuid);

DROP POLICY IF EXISTS own_casino ON loyalty.drift_schedule;
CREATE POLICY own_casino ON loyalty.drift_schedule
    USING (casino_id = current_setting('app.casino_id')::uuid);

-- The one thing that is read across casinos: where a drift check is due. No token
-- gives the role `scheduler`; the service takes it for its own daily work.
DROP POLICY IF EXISTS due_anywhere ON loyalty.drift_schedule;
CREATE POLICY due_anywhere ON loyalty.drift_schedule
    FOR SELECT
    USING (current_setting('app.role') = 'scheduler');

-- Who may write which reason: the last guard, whatever the service believes. A
-- balance below zero is an overdraw when it was spent.
DROP POLICY IF EXISTS reason_of_role ON loyalty.loyalty_ledger;
CREATE POLICY reason_of_role ON loyalty.loyalty_ledger
    AS RESTRICTIVE
    FOR INSERT
    WITH CHECK (
        staff_id = current_setting('app.staff_id')::uuid
        AND CASE reason
            WHEN 'base_accrual'  THEN current_setting('app.role') = 'service'
            WHEN 'manual_reward' THEN current_setting('app.role') IN ('pit_boss', 'admin')
            WHEN 'promotion'     THEN current_setting('app.role') IN ('pit_boss', 'admin')
            WHEN 'redemption'    THEN current_setting('app.role') IN ('pit_boss', 'admin')
                OR (current_setting('app.role') = 'cashier' AND balance_after >= 0)
            WHEN 'adjustment'    THEN current_setting('app.role') = 'admin'
            WHEN 'reversal'      THEN current_setting('app.role') = 'admin'
            ELSE false
        END
    );

-- Who may move a balance at all. USING stays true, so that a refusal is an error
-- and not a row that is not there.
DROP POLICY IF EXISTS role_opens_balance ON loyalty.player_loyalty;
CREATE POLICY role_opens_balance ON loyalty.player_loyalty
    AS RESTRICTIVE
    FOR INSERT
    WITH CHECK (current_setting('app.role') IN ('cashier', 'pit_boss', 'admin', 'service'));
DROP POLICY IF EXISTS role_moves_balance ON loyalty.player_loyalty;
CREATE POLICY role_moves_balance ON loyalty.player_loyalty
    AS RESTRICTIVE
    FOR UPDATE
    USING (true)
    WITH CHECK (current_setting('app.role') IN ('cashier', 'pit_boss', 'admin', 'service'));

DROP POLICY IF EXISTS role_sets_terms ON loyalty.loyalty_program;
CREATE POLICY role_sets_terms ON loyalty.loyalty_program
    AS RESTRICTIVE
    FOR INSERT
    WITH CHECK (
        current_setting('app.role') = 'admin'
        AND created_by_staff_id = current_setting('app.staff_id')::uuid
    );

-- Nobody writes the trail in another's name; the scheduler is nobody's staff.
DROP POLICY IF EXISTS role_of_trail ON loyalty.loyalty_audit;
CREATE POLICY role_of_trail ON loyalty.loyalty_audit
    AS RESTRICTIVE
    FOR INSERT
    WITH CHECK (
        role = current_setting('app.role')
        AND CASE role
            WHEN 'admin'     THEN staff_id = current_setting('app.staff_id')::uuid
            WHEN 'scheduler' THEN staff_id IS NULL
            ELSE false
        END
    );

DROP POLICY IF EXISTS role_enrols ON loyalty.drift_schedule;
CREATE POLICY role_enrols ON loyalty.drift_schedule
    AS RESTRICTIVE
    FOR INSERT
    WITH CHECK (current_setting('app.role') = 'scheduler');
DROP POLICY IF EXISTS role_schedules ON loyalty.drift_schedule;
CREATE POLICY role_schedules ON loyalty.drift_schedule
    AS RESTRICTIVE
    FOR UPDATE
    USING (true)
    WITH CHECK (current_setting('app.role') = 'scheduler');
