-- What the service's role may do, and which rows it may do it to. Reapplied as a
-- whole whenever its text changes, so every statement can run again.
--
-- A policy reads the context with current_setting() and no default: a context
-- that was never set, or is empty, is an error and never means "any".

GRANT USAGE ON SCHEMA ratingslip TO ratingslip_service;
REVOKE ALL ON ALL TABLES IN SCHEMA ratingslip FROM PUBLIC, ratingslip_service;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ratingslip FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ratingslip TO ratingslip_service;

GRANT SELECT ON ratingslip.schema_migration TO ratingslip_service;
GRANT SELECT, INSERT, UPDATE ON ratingslip.rating_slip TO ratingslip_service;
GRANT SELECT, INSERT ON ratingslip.rating_slip_event TO ratingslip_service;

ALTER TABLE ratingslip.rating_slip ENABLE ROW LEVEL SECURITY;
ALTER TABLE ratingslip.rating_slip FORCE ROW LEVEL SECURITY;
ALTER TABLE ratingslip.rating_slip_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE ratingslip.rating_slip_event FORCE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS own_casino ON ratingslip.rating_slip;
CREATE POLICY own_casino ON ratingslip.rating_slip
    USING (casino_id = current_setting('app.casino_id')::uuid);

-- The one thing that is read across casinos: where points are due, and how many slips
-- are without. It takes the role `scheduler`, which no token gives, and the context of no
-- casino; for its work in a casino the service takes that casino's context, and sees nothing
-- else.
DROP POLICY IF EXISTS due_anywhere ON ratingslip.rating_slip;
DROP POLICY IF EXISTS unsettled_anywhere ON ratingslip.rating_slip;
CREATE POLICY unsettled_anywhere ON ratingslip.rating_slip
    FOR SELECT
    USING (
        current_setting('app.role') = 'scheduler'
        AND current_setting('app.casino_id') = '00000000-0000-0000-0000-000000000000'
        AND loyalty_state IN ('PENDING', 'REFUSED')
    );

DROP POLICY IF EXISTS own_casino ON ratingslip.rating_slip_event;
CREATE POLICY own_casino ON ratingslip.rating_slip_event
    USING (casino_id = current_setting('app.casino_id')::uuid);

-- Who may open and move slips: the last guard, whatever the service believes. An
-- update is checked on the new row, so that a refusal is an error and not silence. The
-- scheduler finishes what staff has closed: a slip that is not closed is not there for it.
DROP POLICY IF EXISTS opened_by_role ON ratingslip.rating_slip;
CREATE POLICY opened_by_role ON ratingslip.rating_slip
    AS RESTRICTIVE
    FOR INSERT
    WITH CHECK (current_setting('app.role') IN ('pit_boss', 'admin'));

DROP POLICY IF EXISTS moved_by_role ON ratingslip.rating_slip;
CREATE POLICY moved_by_role ON ratingslip.rating_slip
    AS RESTRICTIVE
    FOR UPDATE
    USING (current_setting('app.role') <> 'scheduler' OR status = 'CLOSED')
    WITH CHECK (
        current_setting('app.role') IN ('pit_boss', 'admin')
        OR (current_setting('app.role') = 'scheduler' AND status = 'CLOSED')
    );

DROP POLICY IF EXISTS written_by_role ON ratingslip.rating_slip_event;
CREATE POLICY written_by_role ON ratingslip.rating_slip_event
    AS RESTRICTIVE
    FOR INSERT
    WITH CHECK (
        (
            current_setting('app.role') IN ('pit_boss', 'admin')
            OR (current_setting('app.role') = 'scheduler' AND kind IN ('accrue', 'refuse', 'fail'))
        )
        AND staff_id = current_setting('app.staff_id')::uuid
    );
