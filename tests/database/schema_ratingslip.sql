-- The schema ratingslip as the migrations build it, everything owned by ratingslip_owner.
-- Written by `python -m tests.database.schema_dump`; a test compares it with the real thing.

SET check_function_bodies = off;
CREATE SCHEMA ratingslip;

-- Tables

CREATE TABLE ratingslip.rating_slip (
    casino_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    player_id uuid NOT NULL,
    visit_id uuid NOT NULL,
    table_id uuid NOT NULL,
    seat_number integer NOT NULL,
    event_count integer NOT NULL,
    created_time timestamp with time zone NOT NULL,
    updated_time timestamp with time zone NOT NULL,
    status text NOT NULL,
    start_time timestamp with time zone NOT NULL,
    last_event_time timestamp with time zone NOT NULL,
    running_since timestamp with time zone,
    end_time timestamp with time zone,
    played_seconds numeric NOT NULL,
    duration_seconds bigint,
    currency_code text NOT NULL,
    average_bet numeric NOT NULL,
    chips_taken numeric,
    game_name text NOT NULL,
    house_edge_percent numeric NOT NULL,
    decisions_per_hour integer NOT NULL,
    point_multiplier numeric NOT NULL,
    started_by_staff_id uuid NOT NULL,
    closed_by_staff_id uuid,
    close_correlation_id text,
    close_trace_parent text,
    loyalty_state text NOT NULL,
    loyalty_entry_id uuid,
    loyalty_points_delta bigint,
    loyalty_balance_after bigint,
    loyalty_lifetime_points bigint,
    loyalty_tier_before text,
    loyalty_tier_after text,
    loyalty_tier_progress_percent integer,
    loyalty_refusal_reason text,
    recovery_attempt_count integer NOT NULL DEFAULT 0,
    next_recovery_time timestamp with time zone,
    CONSTRAINT rating_slip_pkey PRIMARY KEY (casino_id, id),
    CONSTRAINT rating_slip_check CHECK (average_bet >= 0::numeric AND chips_taken >= 0::numeric),
    CONSTRAINT rating_slip_check1 CHECK (played_seconds >= 0::numeric AND duration_seconds >= 0),
    CONSTRAINT rating_slip_check2 CHECK ((status = 'OPEN'::text) = (running_since IS NOT NULL)),
    CONSTRAINT rating_slip_check3 CHECK ((status = 'CLOSED'::text) = (end_time IS NOT NULL)),
    CONSTRAINT rating_slip_check4 CHECK ((status = 'CLOSED'::text) = (duration_seconds IS NOT NULL)),
    CONSTRAINT rating_slip_check5 CHECK ((status = 'CLOSED'::text) = (closed_by_staff_id IS NOT NULL)),
    CONSTRAINT rating_slip_check6 CHECK ((status = 'CLOSED'::text) = (loyalty_state <> 'NONE'::text)),
    CONSTRAINT rating_slip_check7 CHECK ((loyalty_state = 'ACCRUED'::text) = (loyalty_entry_id IS NOT NULL)),
    CONSTRAINT rating_slip_check8 CHECK ((loyalty_state = 'REFUSED'::text) = (loyalty_refusal_reason IS NOT NULL)),
    CONSTRAINT rating_slip_check9 CHECK ((loyalty_state = 'PENDING'::text) = (next_recovery_time IS NOT NULL)),
    CONSTRAINT rating_slip_loyalty_state_check CHECK (loyalty_state = ANY (ARRAY['NONE'::text, 'PENDING'::text, 'ACCRUED'::text, 'REFUSED'::text])),
    CONSTRAINT rating_slip_recovery_attempt_count_check CHECK (recovery_attempt_count >= 0),
    CONSTRAINT rating_slip_seat_number_check CHECK (seat_number >= 1 AND seat_number <= 99),
    CONSTRAINT rating_slip_status_check CHECK (status = ANY (ARRAY['OPEN'::text, 'PAUSED'::text, 'CLOSED'::text]))
);

CREATE TABLE ratingslip.rating_slip_event (
    casino_id uuid NOT NULL,
    rating_slip_id uuid NOT NULL,
    event_number integer NOT NULL,
    event_time timestamp with time zone NOT NULL,
    recorded_time timestamp with time zone NOT NULL,
    staff_id uuid NOT NULL,
    kind text NOT NULL,
    correlation_id text NOT NULL,
    idempotency_key text,
    fingerprint bytea,
    average_bet numeric NOT NULL,
    role text,
    trace_id text,
    code text,
    reason text,
    loyalty_call_ms integer,
    CONSTRAINT rating_slip_event_pkey PRIMARY KEY (casino_id, rating_slip_id, event_number),
    CONSTRAINT rating_slip_event_check CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL)),
    CONSTRAINT rating_slip_event_event_number_check CHECK (event_number >= 1),
    CONSTRAINT rating_slip_event_kind_check CHECK (kind = ANY (ARRAY['start'::text, 'pause'::text, 'resume'::text, 'update_average_bet'::text, 'complete'::text, 'accrue'::text, 'refuse'::text, 'fail'::text])),
    CONSTRAINT rating_slip_event_loyalty_call_ms_check CHECK (loyalty_call_ms >= 0)
);

CREATE TABLE ratingslip.schema_migration (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_time timestamp with time zone NOT NULL,
    CONSTRAINT schema_migration_pkey PRIMARY KEY (name)
);

-- Foreign keys

ALTER TABLE ratingslip.rating_slip_event ADD CONSTRAINT rating_slip_event_casino_id_rating_slip_id_fkey
    FOREIGN KEY (casino_id, rating_slip_id) REFERENCES ratingslip.rating_slip(casino_id, id);

-- Indexes

CREATE UNIQUE INDEX rating_slip_active_seat ON ratingslip.rating_slip USING btree (casino_id, table_id, seat_number) WHERE (status <> 'CLOSED'::text);
CREATE UNIQUE INDEX rating_slip_active_visit ON ratingslip.rating_slip USING btree (casino_id, visit_id) WHERE (status <> 'CLOSED'::text);
CREATE INDEX rating_slip_by_player ON ratingslip.rating_slip USING btree (casino_id, player_id, created_time, id);
CREATE INDEX rating_slip_by_table ON ratingslip.rating_slip USING btree (casino_id, table_id, created_time, id);
CREATE INDEX rating_slip_by_time ON ratingslip.rating_slip USING btree (casino_id, created_time, id);
CREATE INDEX rating_slip_due ON ratingslip.rating_slip USING btree (casino_id, next_recovery_time) WHERE (loyalty_state = 'PENDING'::text);
CREATE INDEX rating_slip_without_points ON ratingslip.rating_slip USING btree (casino_id, loyalty_state, created_time, id) WHERE (loyalty_state = ANY (ARRAY['PENDING'::text, 'REFUSED'::text]));
CREATE INDEX rating_slip_event_by_correlation ON ratingslip.rating_slip_event USING btree (casino_id, correlation_id);
CREATE INDEX rating_slip_event_by_trace ON ratingslip.rating_slip_event USING btree (casino_id, trace_id) WHERE (trace_id IS NOT NULL);
CREATE UNIQUE INDEX rating_slip_event_key ON ratingslip.rating_slip_event USING btree (casino_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

-- Functions

CREATE OR REPLACE FUNCTION ratingslip.append_attempt(p_slip ratingslip.rating_slip, p_kind text, p_staff_id uuid, p_role text, p_correlation_id text, p_trace_parent text, p_loyalty_call_ms integer, p_code text, p_reason text)
 RETURNS ratingslip.rating_slip
 LANGUAGE plpgsql
AS $function$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    p_slip.event_count := p_slip.event_count + 1;
    IF p_kind <> 'fail' THEN
        p_slip.updated_time := present;
    END IF;
    PERFORM ratingslip.store_slip(p_slip);
    INSERT INTO ratingslip.rating_slip_event (
        casino_id, rating_slip_id, event_number, event_time, recorded_time,
        staff_id, role, kind, correlation_id, trace_id, average_bet,
        loyalty_call_ms, code, reason
    )
    VALUES (
        p_slip.casino_id, p_slip.id, p_slip.event_count, present, present,
        p_staff_id, p_role, p_kind, p_correlation_id,
        ratingslip.trace_id_of(p_trace_parent), p_slip.average_bet,
        p_loyalty_call_ms, p_code, p_reason
    );
    RETURN p_slip;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.append_event(p_slip ratingslip.rating_slip, p_kind text, p_event_time timestamp with time zone, p_staff_id uuid, p_correlation_id text, p_idempotency_key text, p_fingerprint bytea)
 RETURNS ratingslip.rating_slip
 LANGUAGE plpgsql
AS $function$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    p_slip.event_count := p_slip.event_count + 1;
    p_slip.updated_time := present;
    PERFORM ratingslip.store_slip(p_slip);
    INSERT INTO ratingslip.rating_slip_event (
        casino_id, rating_slip_id, event_number, event_time, recorded_time,
        staff_id, role, kind, correlation_id, trace_id,
        idempotency_key, fingerprint, average_bet
    )
    VALUES (
        p_slip.casino_id, p_slip.id, p_slip.event_count, p_event_time, present,
        p_staff_id, current_setting('app.role'), p_kind, p_correlation_id,
        -- Only the close knows its trace, and no play event comes after it.
        ratingslip.trace_id_of(p_slip.close_trace_parent),
        p_idempotency_key, p_fingerprint, p_slip.average_bet
    );
    RETURN p_slip;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.claim_due_slip(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text)
 RETURNS TABLE(slip ratingslip.rating_slip, play_seconds bigint)
 LANGUAGE plpgsql
AS $function$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
    claimed  ratingslip.rating_slip;
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    SELECT s.* INTO claimed
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.loyalty_state = 'PENDING'
        AND s.next_recovery_time <= present
    ORDER BY s.next_recovery_time
    LIMIT 1
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    claimed.recovery_attempt_count := claimed.recovery_attempt_count + 1;
    claimed.next_recovery_time
        := present + ratingslip.recovery_delay(claimed.recovery_attempt_count);
    UPDATE ratingslip.rating_slip AS s
    SET recovery_attempt_count = claimed.recovery_attempt_count,
        next_recovery_time = claimed.next_recovery_time
    WHERE s.casino_id = p_casino_id
        AND s.id = claimed.id;
    RETURN QUERY SELECT claimed, claimed.duration_seconds;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.complete_rating_slip(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_trace_parent text, p_rating_slip_id uuid, p_end_time timestamp with time zone, p_average_bet numeric, p_bet_currency_code text, p_chips_taken numeric, p_chips_currency_code text, OUT slip ratingslip.rating_slip, OUT play_seconds bigint, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  timestamptz;
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := slip.status = 'CLOSED';
    IF NOT is_existing THEN
        PERFORM ratingslip.refuse_other_currency(slip, p_bet_currency_code, 'average_bet');
        PERFORM ratingslip.refuse_other_currency(slip, p_chips_currency_code, 'chips_taken');
        moment := ratingslip.event_moment(p_end_time, slip.last_event_time, 'end_time');
        slip.played_seconds := ratingslip.play_seconds(slip, moment);
        slip.duration_seconds := floor(slip.played_seconds);
        slip.running_since := NULL;
        slip.end_time := moment;
        slip.last_event_time := moment;
        slip.average_bet := COALESCE(p_average_bet, slip.average_bet);
        slip.chips_taken := p_chips_taken;
        slip.status := 'CLOSED';
        slip.loyalty_state := 'PENDING';
        slip.next_recovery_time := clock_timestamp() + ratingslip.recovery_delay(0);
        slip.closed_by_staff_id := p_staff_id;
        slip.close_correlation_id := p_correlation_id;
        slip.close_trace_parent := NULLIF(p_trace_parent, '');
        slip := ratingslip.append_event(
            slip, 'complete', moment, p_staff_id, p_correlation_id, NULL, NULL
        );
    END IF;
    play_seconds := slip.duration_seconds;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.count_unsettled_slips(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text)
 RETURNS TABLE(loyalty_state text, slip_count bigint, oldest_age_seconds double precision)
 LANGUAGE plpgsql
AS $function$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    -- A failed attempt does not touch updated_time, so it is when the slip came into its state.
    RETURN QUERY
    SELECT s.loyalty_state,
           count(*),
           date_part('epoch', present - min(s.updated_time))
    FROM ratingslip.rating_slip AS s
    WHERE s.loyalty_state IN ('PENDING', 'REFUSED')
    GROUP BY s.loyalty_state;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.event_moment(p_given timestamp with time zone, p_last_event timestamp with time zone, p_field text)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
AS $function$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF p_given > present THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS010', MESSAGE = 'the event lies ahead', COLUMN = p_field;
    END IF;
    IF p_given < p_last_event THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS009', MESSAGE = 'the event lies before the last one', COLUMN = p_field;
    END IF;
    -- A clock that was set back must not put events out of order.
    RETURN COALESCE(p_given, GREATEST(present, p_last_event));
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.find_active_slip(p_casino_id uuid, p_visit_id uuid, p_table_id uuid, p_seat_number integer)
 RETURNS ratingslip.rating_slip
 LANGUAGE plpgsql
AS $function$
DECLARE
    slip  ratingslip.rating_slip;
BEGIN
    SELECT s.* INTO slip
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.visit_id = p_visit_id
        AND s.status <> 'CLOSED';
    IF NOT FOUND THEN
        SELECT s.* INTO slip
        FROM ratingslip.rating_slip AS s
        WHERE s.casino_id = p_casino_id
            AND s.table_id = p_table_id
            AND s.seat_number = p_seat_number
            AND s.status <> 'CLOSED';
    END IF;
    RETURN slip;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.find_replay(p_casino_id uuid, p_idempotency_key text, p_fingerprint bytea)
 RETURNS uuid
 LANGUAGE plpgsql
AS $function$
DECLARE
    event  ratingslip.rating_slip_event;
BEGIN
    IF p_idempotency_key IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT e.* INTO event
    FROM ratingslip.rating_slip_event AS e
    WHERE e.casino_id = p_casino_id
        AND e.idempotency_key = p_idempotency_key;
    IF event.fingerprint <> p_fingerprint THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS003',
            MESSAGE = 'the idempotency key was used for another request',
            DETAIL = event.rating_slip_id;
    END IF;
    RETURN event.rating_slip_id;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.get_rating_slip(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_rating_slip_id uuid)
 RETURNS TABLE(slip ratingslip.rating_slip, play_seconds bigint)
 LANGUAGE plpgsql
AS $function$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT s, ratingslip.shown_seconds(s, present)
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.id = p_rating_slip_id;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.list_casinos_with_due_slips(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_row_limit integer)
 RETURNS TABLE(casino_id uuid)
 LANGUAGE plpgsql
AS $function$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT DISTINCT s.casino_id
    FROM ratingslip.rating_slip AS s
    WHERE s.loyalty_state = 'PENDING'
        AND s.next_recovery_time <= present
    LIMIT p_row_limit;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.list_rating_slips(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_row_limit integer, p_after_time timestamp with time zone, p_after_id uuid, p_status text, p_loyalty_state text, p_player_id uuid, p_table_id uuid, p_started_from timestamp with time zone, p_started_before timestamp with time zone)
 RETURNS TABLE(slip ratingslip.rating_slip, play_seconds bigint)
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
DECLARE
    present  CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT s, ratingslip.shown_seconds(s, present)
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND (p_after_time IS NULL OR (s.created_time, s.id) < (p_after_time, p_after_id))
        AND (p_status IS NULL OR s.status = p_status)
        AND (p_loyalty_state IS NULL OR s.loyalty_state = p_loyalty_state)
        AND (p_player_id IS NULL OR s.player_id = p_player_id)
        AND (p_table_id IS NULL OR s.table_id = p_table_id)
        AND (p_started_from IS NULL OR s.start_time >= p_started_from)
        AND (p_started_before IS NULL OR s.start_time < p_started_before)
    ORDER BY s.created_time DESC, s.id DESC
    LIMIT p_row_limit;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.list_slip_events(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_row_limit integer, p_after_time timestamp with time zone, p_after_slip_id uuid, p_after_number integer, p_of_slip_id uuid, p_of_correlation_id text, p_of_trace_id text)
 RETURNS TABLE(event ratingslip.rating_slip_event, currency_code text)
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT e, s.currency_code
    FROM ratingslip.rating_slip_event AS e
    JOIN ratingslip.rating_slip AS s
        ON s.casino_id = e.casino_id
        AND s.id = e.rating_slip_id
    WHERE e.casino_id = p_casino_id
        AND (
            p_after_time IS NULL
            OR (e.recorded_time, e.rating_slip_id, e.event_number)
                > (p_after_time, p_after_slip_id, p_after_number)
        )
        AND (p_of_slip_id IS NULL OR e.rating_slip_id = p_of_slip_id)
        AND (p_of_correlation_id IS NULL OR e.correlation_id = p_of_correlation_id)
        AND (p_of_trace_id IS NULL OR e.trace_id = p_of_trace_id)
    ORDER BY e.recorded_time, e.rating_slip_id, e.event_number
    LIMIT p_row_limit;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.lock_slip(p_casino_id uuid, p_rating_slip_id uuid)
 RETURNS ratingslip.rating_slip
 LANGUAGE plpgsql
AS $function$
DECLARE
    slip  ratingslip.rating_slip;
BEGIN
    SELECT s.* INTO slip
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.id = p_rating_slip_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS002', MESSAGE = 'no such slip', DETAIL = p_rating_slip_id;
    END IF;
    RETURN slip;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.pause_rating_slip(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_idempotency_key text, p_fingerprint bytea, p_rating_slip_id uuid, p_event_time timestamp with time zone, OUT slip ratingslip.rating_slip, OUT play_seconds bigint, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  timestamptz;
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := ratingslip.find_replay(p_casino_id, p_idempotency_key, p_fingerprint) IS NOT NULL;
    IF NOT is_existing THEN
        IF slip.status <> 'OPEN' THEN
            RAISE EXCEPTION USING ERRCODE = 'RS004', MESSAGE = 'the slip is not open';
        END IF;
        moment := ratingslip.event_moment(p_event_time, slip.last_event_time, 'event_time');
        slip.played_seconds := ratingslip.play_seconds(slip, moment);
        slip.running_since := NULL;
        slip.status := 'PAUSED';
        slip.last_event_time := moment;
        slip := ratingslip.append_event(
            slip, 'pause', moment, p_staff_id, p_correlation_id, p_idempotency_key, p_fingerprint
        );
    END IF;
    play_seconds := ratingslip.shown_seconds(slip, clock_timestamp());
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.play_seconds(p_slip ratingslip.rating_slip, p_time timestamp with time zone)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT p_slip.played_seconds
        + COALESCE(GREATEST(0, extract(epoch FROM p_time) - extract(epoch FROM p_slip.running_since)), 0)
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.preview_slip_points(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_rating_slip_id uuid, p_end_time timestamp with time zone, p_average_bet numeric, p_bet_currency_code text, OUT slip ratingslip.rating_slip, OUT play_seconds bigint, OUT frozen_average_bet numeric, OUT frozen_duration_seconds bigint, OUT frozen_end_time timestamp with time zone)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    SELECT s.* INTO slip
    FROM ratingslip.rating_slip AS s
    WHERE s.casino_id = p_casino_id
        AND s.id = p_rating_slip_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS002', MESSAGE = 'no such slip', DETAIL = p_rating_slip_id;
    END IF;
    IF slip.status = 'CLOSED' THEN
        frozen_average_bet := slip.average_bet;
        frozen_end_time := slip.end_time;
    ELSE
        PERFORM ratingslip.refuse_other_currency(slip, p_bet_currency_code, 'average_bet');
        frozen_average_bet := COALESCE(p_average_bet, slip.average_bet);
        frozen_end_time := ratingslip.event_moment(p_end_time, slip.last_event_time, 'end_time');
    END IF;
    frozen_duration_seconds := ratingslip.shown_seconds(slip, frozen_end_time);
    -- Where the end is now, both figures are of the same now.
    play_seconds := CASE
        WHEN p_end_time IS NULL THEN frozen_duration_seconds
        ELSE ratingslip.shown_seconds(slip, clock_timestamp())
    END;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.record_accrual(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_trace_parent text, p_loyalty_call_ms integer, p_rating_slip_id uuid, p_entry_id uuid, p_points_delta bigint, p_balance_after bigint, p_lifetime_points bigint, p_tier_before text, p_tier_after text, p_tier_progress_percent integer, OUT slip ratingslip.rating_slip, OUT play_seconds bigint, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := slip.loyalty_state = 'ACCRUED';
    IF NOT is_existing THEN
        slip.loyalty_state := 'ACCRUED';
        slip.loyalty_entry_id := p_entry_id;
        slip.loyalty_points_delta := p_points_delta;
        slip.loyalty_balance_after := p_balance_after;
        slip.loyalty_lifetime_points := p_lifetime_points;
        slip.loyalty_tier_before := p_tier_before;
        slip.loyalty_tier_after := p_tier_after;
        slip.loyalty_tier_progress_percent := p_tier_progress_percent;
        slip.loyalty_refusal_reason := NULL;
        slip.next_recovery_time := NULL;
        slip := ratingslip.append_attempt(
            slip, 'accrue', p_staff_id, p_role, p_correlation_id, p_trace_parent,
            p_loyalty_call_ms, NULL, NULL
        );
    END IF;
    play_seconds := slip.duration_seconds;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.record_failure(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_trace_parent text, p_loyalty_call_ms integer, p_rating_slip_id uuid, p_code text, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    PERFORM ratingslip.append_attempt(
        ratingslip.lock_slip(p_casino_id, p_rating_slip_id), 'fail', p_staff_id, p_role,
        p_correlation_id, p_trace_parent, p_loyalty_call_ms, p_code, p_reason
    );
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.record_refusal(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_trace_parent text, p_loyalty_call_ms integer, p_rating_slip_id uuid, p_code text, p_reason text, OUT slip ratingslip.rating_slip, OUT play_seconds bigint, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := slip.loyalty_state <> 'PENDING';
    IF slip.loyalty_state <> 'ACCRUED' THEN
        -- Somebody may have tried again a slip that was refused before, for another reason.
        slip.loyalty_state := 'REFUSED';
        slip.loyalty_refusal_reason := p_reason;
        slip.next_recovery_time := NULL;
        slip := ratingslip.append_attempt(
            slip, 'refuse', p_staff_id, p_role, p_correlation_id, p_trace_parent,
            p_loyalty_call_ms, p_code, p_reason
        );
    END IF;
    play_seconds := slip.duration_seconds;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.recovery_delay(p_attempt_count integer)
 RETURNS interval
 LANGUAGE sql
AS $function$
    SELECT least(5 * 2 ^ least(p_attempt_count, 10), 300)
        * (1 + random() / 2)
        * interval '1 second'
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.refuse_active_slip(p_active ratingslip.rating_slip, p_visit_id uuid)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_active.visit_id = p_visit_id THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS007', MESSAGE = 'the visit has an active slip', DETAIL = p_active.id;
    ELSIF p_active.id IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS008', MESSAGE = 'the seat has an active slip', DETAIL = p_active.id;
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.refuse_other_currency(p_slip ratingslip.rating_slip, p_currency_code text, p_field text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_currency_code <> p_slip.currency_code THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS012',
            MESSAGE = 'the slip is in another currency',
            COLUMN = p_field || '.currency_code';
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.resume_rating_slip(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_idempotency_key text, p_fingerprint bytea, p_rating_slip_id uuid, p_event_time timestamp with time zone, OUT slip ratingslip.rating_slip, OUT play_seconds bigint, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  timestamptz;
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := ratingslip.find_replay(p_casino_id, p_idempotency_key, p_fingerprint) IS NOT NULL;
    IF NOT is_existing THEN
        IF slip.status <> 'PAUSED' THEN
            RAISE EXCEPTION USING ERRCODE = 'RS005', MESSAGE = 'the slip is not paused';
        END IF;
        moment := ratingslip.event_moment(p_event_time, slip.last_event_time, 'event_time');
        slip.running_since := moment;
        slip.status := 'OPEN';
        slip.last_event_time := moment;
        slip := ratingslip.append_event(
            slip, 'resume', moment, p_staff_id, p_correlation_id, p_idempotency_key, p_fingerprint
        );
    END IF;
    play_seconds := ratingslip.shown_seconds(slip, clock_timestamp());
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.set_context(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_casino_id IS NULL OR p_staff_id IS NULL
        OR COALESCE(p_role, '') NOT IN (
            'dealer', 'cashier', 'pit_boss', 'admin', 'service', 'scheduler'
        )
        OR COALESCE(p_correlation_id, '') = ''
    THEN
        RAISE EXCEPTION USING ERRCODE = 'RS001', MESSAGE = 'the context is incomplete';
    END IF;
    PERFORM set_config('app.casino_id', p_casino_id::text, true),
            set_config('app.staff_id', p_staff_id::text, true),
            set_config('app.role', p_role, true),
            set_config('app.correlation_id', p_correlation_id, true);
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.shown_seconds(p_slip ratingslip.rating_slip, p_time timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT COALESCE(p_slip.duration_seconds, floor(ratingslip.play_seconds(p_slip, p_time))::bigint)
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.start_rating_slip(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_idempotency_key text, p_fingerprint bytea, p_player_id uuid, p_visit_id uuid, p_table_id uuid, p_seat_number integer, p_average_bet numeric, p_currency_code text, p_game_name text, p_house_edge_percent numeric, p_decisions_per_hour integer, p_point_multiplier numeric, p_start_time timestamp with time zone, OUT slip ratingslip.rating_slip, OUT play_seconds bigint, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment    CONSTANT timestamptz := ratingslip.event_moment(p_start_time, NULL, 'start_time');
    -- Taken second: a slip that starts now does not start after it was entered.
    present   CONSTANT timestamptz := clock_timestamp();
    active    ratingslip.rating_slip;
    known_id  uuid;
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    -- Looked for before the key is: each look sees what was committed until then, and an
    -- active slip that this very request has opened is to be found by its key.
    active := ratingslip.find_active_slip(p_casino_id, p_visit_id, p_table_id, p_seat_number);
    known_id := ratingslip.find_replay(p_casino_id, p_idempotency_key, p_fingerprint);
    is_existing := known_id IS NOT NULL;
    IF is_existing THEN
        slip := ratingslip.lock_slip(p_casino_id, known_id);
        play_seconds := ratingslip.shown_seconds(slip, present);
        RETURN;
    END IF;
    -- Paper slips come in late, but not later than this.
    IF moment < present - interval '48 hours' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'RS011', MESSAGE = 'the start lies too far back', COLUMN = 'start_time';
    END IF;
    PERFORM ratingslip.refuse_active_slip(active, p_visit_id);

    INSERT INTO ratingslip.rating_slip (
        casino_id, player_id, visit_id, table_id, seat_number, event_count,
        created_time, updated_time, status, start_time, last_event_time, running_since,
        played_seconds, currency_code, average_bet, game_name, house_edge_percent,
        decisions_per_hour, point_multiplier, started_by_staff_id, loyalty_state
    )
    VALUES (
        p_casino_id, p_player_id, p_visit_id, p_table_id, p_seat_number, 0,
        present, present, 'OPEN', moment, moment, moment,
        0, p_currency_code, p_average_bet, p_game_name, p_house_edge_percent,
        p_decisions_per_hour, p_point_multiplier, p_staff_id, 'NONE'
    )
    RETURNING * INTO slip;
    slip := ratingslip.append_event(
        slip, 'start', moment, p_staff_id, p_correlation_id, p_idempotency_key, p_fingerprint
    );
    play_seconds := ratingslip.shown_seconds(slip, present);
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.store_slip(p_slip ratingslip.rating_slip)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE ratingslip.rating_slip AS s
    SET event_count = p_slip.event_count,
        updated_time = p_slip.updated_time,
        status = p_slip.status,
        last_event_time = p_slip.last_event_time,
        running_since = p_slip.running_since,
        end_time = p_slip.end_time,
        played_seconds = p_slip.played_seconds,
        duration_seconds = p_slip.duration_seconds,
        average_bet = p_slip.average_bet,
        chips_taken = p_slip.chips_taken,
        closed_by_staff_id = p_slip.closed_by_staff_id,
        close_correlation_id = p_slip.close_correlation_id,
        close_trace_parent = p_slip.close_trace_parent,
        loyalty_state = p_slip.loyalty_state,
        loyalty_entry_id = p_slip.loyalty_entry_id,
        loyalty_points_delta = p_slip.loyalty_points_delta,
        loyalty_balance_after = p_slip.loyalty_balance_after,
        loyalty_lifetime_points = p_slip.loyalty_lifetime_points,
        loyalty_tier_before = p_slip.loyalty_tier_before,
        loyalty_tier_after = p_slip.loyalty_tier_after,
        loyalty_tier_progress_percent = p_slip.loyalty_tier_progress_percent,
        loyalty_refusal_reason = p_slip.loyalty_refusal_reason,
        next_recovery_time = p_slip.next_recovery_time
    WHERE s.casino_id = p_slip.casino_id
        AND s.id = p_slip.id;
END
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.trace_id_of(p_trace_parent text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT NULLIF(split_part(p_trace_parent, '-', 2), '')
$function$
;

CREATE OR REPLACE FUNCTION ratingslip.update_average_bet(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_idempotency_key text, p_fingerprint bytea, p_rating_slip_id uuid, p_average_bet numeric, p_currency_code text, p_event_time timestamp with time zone, OUT slip ratingslip.rating_slip, OUT play_seconds bigint, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  timestamptz;
BEGIN
    PERFORM ratingslip.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    slip := ratingslip.lock_slip(p_casino_id, p_rating_slip_id);
    is_existing := ratingslip.find_replay(p_casino_id, p_idempotency_key, p_fingerprint) IS NOT NULL;
    IF NOT is_existing THEN
        IF slip.status = 'CLOSED' THEN
            RAISE EXCEPTION USING ERRCODE = 'RS006', MESSAGE = 'the slip is closed';
        END IF;
        PERFORM ratingslip.refuse_other_currency(slip, p_currency_code, 'average_bet');
        moment := ratingslip.event_moment(p_event_time, slip.last_event_time, 'event_time');
        slip.average_bet := p_average_bet;
        slip.last_event_time := moment;
        slip := ratingslip.append_event(
            slip, 'update_average_bet', moment, p_staff_id, p_correlation_id, p_idempotency_key, p_fingerprint
        );
    END IF;
    play_seconds := ratingslip.shown_seconds(slip, clock_timestamp());
END
$function$
;

-- Row-level security

ALTER TABLE ratingslip.rating_slip ENABLE ROW LEVEL SECURITY;
ALTER TABLE ratingslip.rating_slip FORCE ROW LEVEL SECURITY;
ALTER TABLE ratingslip.rating_slip_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE ratingslip.rating_slip_event FORCE ROW LEVEL SECURITY;

-- Policies

CREATE POLICY moved_by_role ON ratingslip.rating_slip
    AS RESTRICTIVE FOR UPDATE TO PUBLIC
    USING (current_setting('app.role'::text) <> 'scheduler'::text OR status = 'CLOSED'::text)
    WITH CHECK ((current_setting('app.role'::text) = ANY (ARRAY['pit_boss'::text, 'admin'::text])) OR current_setting('app.role'::text) = 'scheduler'::text AND status = 'CLOSED'::text);

CREATE POLICY opened_by_role ON ratingslip.rating_slip
    AS RESTRICTIVE FOR INSERT TO PUBLIC
    WITH CHECK (current_setting('app.role'::text) = ANY (ARRAY['pit_boss'::text, 'admin'::text]));

CREATE POLICY own_casino ON ratingslip.rating_slip
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

CREATE POLICY unsettled_anywhere ON ratingslip.rating_slip
    AS PERMISSIVE FOR SELECT TO PUBLIC
    USING (current_setting('app.role'::text) = 'scheduler'::text AND current_setting('app.casino_id'::text) = '00000000-0000-0000-0000-000000000000'::text AND (loyalty_state = ANY (ARRAY['PENDING'::text, 'REFUSED'::text])));

CREATE POLICY own_casino ON ratingslip.rating_slip_event
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

CREATE POLICY written_by_role ON ratingslip.rating_slip_event
    AS RESTRICTIVE FOR INSERT TO PUBLIC
    WITH CHECK (((current_setting('app.role'::text) = ANY (ARRAY['pit_boss'::text, 'admin'::text])) OR current_setting('app.role'::text) = 'scheduler'::text AND (kind = ANY (ARRAY['accrue'::text, 'refuse'::text, 'fail'::text]))) AND staff_id = current_setting('app.staff_id'::text)::uuid);

-- Grants, beside what the owner may

GRANT USAGE ON SCHEMA ratingslip TO ratingslip_service;
GRANT INSERT, SELECT, UPDATE ON TABLE ratingslip.rating_slip TO ratingslip_service;
GRANT INSERT, SELECT ON TABLE ratingslip.rating_slip_event TO ratingslip_service;
GRANT SELECT ON TABLE ratingslip.schema_migration TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.append_attempt(ratingslip.rating_slip,text,uuid,text,text,text,integer,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.append_attempt(ratingslip.rating_slip,text,uuid,text,text,text,integer,text,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.append_event(ratingslip.rating_slip,text,timestamp with time zone,uuid,text,text,bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.append_event(ratingslip.rating_slip,text,timestamp with time zone,uuid,text,text,bytea) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.claim_due_slip(uuid,uuid,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.claim_due_slip(uuid,uuid,text,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.complete_rating_slip(uuid,uuid,text,text,text,uuid,timestamp with time zone,numeric,text,numeric,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.complete_rating_slip(uuid,uuid,text,text,text,uuid,timestamp with time zone,numeric,text,numeric,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.count_unsettled_slips(uuid,uuid,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.count_unsettled_slips(uuid,uuid,text,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.event_moment(timestamp with time zone,timestamp with time zone,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.event_moment(timestamp with time zone,timestamp with time zone,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.find_active_slip(uuid,uuid,uuid,integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.find_active_slip(uuid,uuid,uuid,integer) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.find_replay(uuid,text,bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.find_replay(uuid,text,bytea) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.get_rating_slip(uuid,uuid,text,text,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.get_rating_slip(uuid,uuid,text,text,uuid) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.list_casinos_with_due_slips(uuid,uuid,text,text,integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.list_casinos_with_due_slips(uuid,uuid,text,text,integer) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.list_rating_slips(uuid,uuid,text,text,integer,timestamp with time zone,uuid,text,text,uuid,uuid,timestamp with time zone,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.list_rating_slips(uuid,uuid,text,text,integer,timestamp with time zone,uuid,text,text,uuid,uuid,timestamp with time zone,timestamp with time zone) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.list_slip_events(uuid,uuid,text,text,integer,timestamp with time zone,uuid,integer,uuid,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.list_slip_events(uuid,uuid,text,text,integer,timestamp with time zone,uuid,integer,uuid,text,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.lock_slip(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.lock_slip(uuid,uuid) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.pause_rating_slip(uuid,uuid,text,text,text,bytea,uuid,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.pause_rating_slip(uuid,uuid,text,text,text,bytea,uuid,timestamp with time zone) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.play_seconds(ratingslip.rating_slip,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.play_seconds(ratingslip.rating_slip,timestamp with time zone) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.preview_slip_points(uuid,uuid,text,text,uuid,timestamp with time zone,numeric,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.preview_slip_points(uuid,uuid,text,text,uuid,timestamp with time zone,numeric,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.record_accrual(uuid,uuid,text,text,text,integer,uuid,uuid,bigint,bigint,bigint,text,text,integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.record_accrual(uuid,uuid,text,text,text,integer,uuid,uuid,bigint,bigint,bigint,text,text,integer) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.record_failure(uuid,uuid,text,text,text,integer,uuid,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.record_failure(uuid,uuid,text,text,text,integer,uuid,text,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.record_refusal(uuid,uuid,text,text,text,integer,uuid,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.record_refusal(uuid,uuid,text,text,text,integer,uuid,text,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.recovery_delay(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.recovery_delay(integer) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.refuse_active_slip(ratingslip.rating_slip,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.refuse_active_slip(ratingslip.rating_slip,uuid) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.refuse_other_currency(ratingslip.rating_slip,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.refuse_other_currency(ratingslip.rating_slip,text,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.resume_rating_slip(uuid,uuid,text,text,text,bytea,uuid,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.resume_rating_slip(uuid,uuid,text,text,text,bytea,uuid,timestamp with time zone) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.set_context(uuid,uuid,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.set_context(uuid,uuid,text,text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.shown_seconds(ratingslip.rating_slip,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.shown_seconds(ratingslip.rating_slip,timestamp with time zone) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.start_rating_slip(uuid,uuid,text,text,text,bytea,uuid,uuid,uuid,integer,numeric,text,text,numeric,integer,numeric,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.start_rating_slip(uuid,uuid,text,text,text,bytea,uuid,uuid,uuid,integer,numeric,text,text,numeric,integer,numeric,timestamp with time zone) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.store_slip(ratingslip.rating_slip) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.store_slip(ratingslip.rating_slip) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.trace_id_of(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.trace_id_of(text) TO ratingslip_service;
REVOKE ALL ON FUNCTION ratingslip.update_average_bet(uuid,uuid,text,text,text,bytea,uuid,numeric,text,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ratingslip.update_average_bet(uuid,uuid,text,text,text,bytea,uuid,numeric,text,timestamp with time zone) TO ratingslip_service;
