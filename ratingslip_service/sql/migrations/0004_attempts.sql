-- What an event says beside what happened: in which role and trace; and of an attempt to
-- credit a slip's points, how long Loyalty took and why it failed. Events that were
-- recorded before have none of it.
--
-- record_accrual and record_refusal take more arguments from here on. Those of before stay,
-- so that replicas which have not been replaced yet can go on; a later migration drops them.
ALTER TABLE ratingslip.rating_slip_event
    ADD COLUMN role text,
    ADD COLUMN trace_id text,
    ADD COLUMN code text,
    ADD COLUMN reason text,
    ADD COLUMN loyalty_call_ms integer,
    DROP CONSTRAINT rating_slip_event_kind_check,
    ADD CONSTRAINT rating_slip_event_kind_check CHECK (
        kind IN (
            'start', 'pause', 'resume', 'update_average_bet', 'complete',
            'accrue', 'refuse', 'fail'
        )
    ),
    ADD CHECK (loyalty_call_ms >= 0);

-- From a correlation ID or a trace to what happened under it.
CREATE INDEX rating_slip_event_by_correlation
    ON ratingslip.rating_slip_event (casino_id, correlation_id);
CREATE INDEX rating_slip_event_by_trace
    ON ratingslip.rating_slip_event (casino_id, trace_id)
    WHERE trace_id IS NOT NULL;
