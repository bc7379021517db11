-- The schema loyalty as the migrations build it, everything owned by loyalty_owner.
-- Written by `python -m tests.database.schema_dump`; a test compares it with the real thing.

SET check_function_bodies = off;
CREATE SCHEMA loyalty;

-- Types

CREATE TYPE loyalty.program_tier AS (
    name text,
    lifetime_start bigint,
    multiplier numeric
);

-- Tables

CREATE TABLE loyalty.loyalty_audit (
    casino_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    recorded_time timestamp with time zone NOT NULL,
    staff_id uuid,
    player_id uuid,
    role text NOT NULL,
    action text NOT NULL,
    correlation_id text NOT NULL,
    before jsonb,
    after jsonb,
    CONSTRAINT loyalty_audit_pkey PRIMARY KEY (casino_id, id)
);

CREATE TABLE loyalty.loyalty_ledger (
    casino_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    player_id uuid NOT NULL,
    entry_number bigint NOT NULL,
    points_delta bigint NOT NULL,
    balance_before bigint NOT NULL,
    balance_after bigint NOT NULL,
    lifetime_before bigint NOT NULL,
    lifetime_after bigint NOT NULL,
    recorded_time timestamp with time zone NOT NULL,
    effective_time timestamp with time zone NOT NULL,
    gaming_day date NOT NULL,
    tier_progress_percent integer NOT NULL,
    source_id uuid NOT NULL,
    staff_id uuid NOT NULL,
    rating_slip_id uuid,
    visit_id uuid,
    campaign_id uuid,
    reversed_entry_id uuid,
    reason text NOT NULL,
    source_kind text NOT NULL,
    tier_before text NOT NULL,
    tier_after text NOT NULL,
    acting_service text,
    correlation_id text NOT NULL,
    idempotency_key text NOT NULL,
    fingerprint bytea NOT NULL,
    note text NOT NULL DEFAULT ''::text,
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT loyalty_ledger_pkey PRIMARY KEY (casino_id, id),
    CONSTRAINT loyalty_ledger_casino_id_idempotency_key_key UNIQUE (casino_id, idempotency_key),
    CONSTRAINT loyalty_ledger_casino_id_player_id_entry_number_key UNIQUE (casino_id, player_id, entry_number),
    CONSTRAINT loyalty_ledger_check CHECK (balance_after = (balance_before + points_delta)),
    CONSTRAINT loyalty_ledger_check1 CHECK (
CASE reason
    WHEN 'base_accrual'::text THEN points_delta >= 0
    WHEN 'promotion'::text THEN points_delta > 0
    WHEN 'manual_reward'::text THEN points_delta > 0
    WHEN 'adjustment'::text THEN points_delta <> 0
    WHEN 'redemption'::text THEN points_delta < 0
    WHEN 'reversal'::text THEN reversed_entry_id IS NOT NULL
    ELSE false
END),
    CONSTRAINT loyalty_ledger_check2 CHECK (
CASE
    WHEN reason = ANY (ARRAY['base_accrual'::text, 'promotion'::text, 'manual_reward'::text]) THEN lifetime_after = (lifetime_before + points_delta)
    WHEN reason = ANY (ARRAY['redemption'::text, 'adjustment'::text]) THEN lifetime_after = lifetime_before
    ELSE true
END),
    CONSTRAINT loyalty_ledger_entry_number_check CHECK (entry_number >= 1),
    CONSTRAINT loyalty_ledger_fingerprint_check CHECK (octet_length(fingerprint) = 32),
    CONSTRAINT loyalty_ledger_tier_progress_percent_check CHECK (tier_progress_percent >= 0 AND tier_progress_percent <= 100)
);

CREATE TABLE loyalty.loyalty_program (
    casino_id uuid NOT NULL,
    version integer NOT NULL,
    effective_time timestamp with time zone NOT NULL,
    points_per_unit numeric NOT NULL,
    rounding text NOT NULL,
    tiers loyalty.program_tier[] NOT NULL,
    overdraw_floor bigint NOT NULL,
    time_zone text NOT NULL,
    gaming_day_start time without time zone NOT NULL,
    created_time timestamp with time zone NOT NULL,
    created_by_staff_id uuid NOT NULL,
    CONSTRAINT loyalty_program_pkey PRIMARY KEY (casino_id, version),
    CONSTRAINT loyalty_program_casino_id_effective_time_key UNIQUE (casino_id, effective_time),
    CONSTRAINT loyalty_program_overdraw_floor_check CHECK (overdraw_floor <= 0),
    CONSTRAINT loyalty_program_points_per_unit_check CHECK (points_per_unit >= 0::numeric AND points_per_unit <= 100000::numeric),
    CONSTRAINT loyalty_program_rounding_check CHECK (rounding = ANY (ARRAY['floor'::text, 'nearest'::text, 'ceil'::text])),
    CONSTRAINT loyalty_program_tiers_check CHECK (cardinality(tiers) >= 1 AND cardinality(tiers) <= 20),
    CONSTRAINT loyalty_program_version_check CHECK (version >= 1)
);

CREATE TABLE loyalty.player_loyalty (
    casino_id uuid NOT NULL,
    player_id uuid NOT NULL,
    current_balance bigint NOT NULL,
    lifetime_points bigint NOT NULL,
    entry_count bigint NOT NULL,
    created_time timestamp with time zone NOT NULL,
    updated_time timestamp with time zone NOT NULL,
    tier text NOT NULL,
    CONSTRAINT player_loyalty_pkey PRIMARY KEY (casino_id, player_id),
    CONSTRAINT player_loyalty_entry_count_check CHECK (entry_count >= 0)
);

CREATE TABLE loyalty.schema_migration (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_time timestamp with time zone NOT NULL,
    CONSTRAINT schema_migration_pkey PRIMARY KEY (name)
);

-- Foreign keys

ALTER TABLE loyalty.loyalty_ledger ADD CONSTRAINT loyalty_ledger_casino_id_player_id_fkey
    FOREIGN KEY (casino_id, player_id) REFERENCES loyalty.player_loyalty(casino_id, player_id);
ALTER TABLE loyalty.loyalty_ledger ADD CONSTRAINT loyalty_ledger_casino_id_reversed_entry_id_fkey
    FOREIGN KEY (casino_id, reversed_entry_id) REFERENCES loyalty.loyalty_ledger(casino_id, id);

-- Indexes

CREATE INDEX loyalty_audit_by_time ON loyalty.loyalty_audit USING btree (casino_id, recorded_time, id);
CREATE UNIQUE INDEX loyalty_ledger_accrues_once ON loyalty.loyalty_ledger USING btree (casino_id, source_kind, source_id) WHERE (reason = 'base_accrual'::text);
CREATE INDEX loyalty_ledger_by_correlation ON loyalty.loyalty_ledger USING btree (casino_id, correlation_id);
CREATE INDEX loyalty_ledger_by_rating_slip ON loyalty.loyalty_ledger USING btree (casino_id, rating_slip_id) WHERE (rating_slip_id IS NOT NULL);
CREATE INDEX loyalty_ledger_by_staff ON loyalty.loyalty_ledger USING btree (casino_id, staff_id, recorded_time, id);
CREATE INDEX loyalty_ledger_by_time ON loyalty.loyalty_ledger USING btree (casino_id, recorded_time, id);
CREATE UNIQUE INDEX loyalty_ledger_promotes_once ON loyalty.loyalty_ledger USING btree (casino_id, source_kind, source_id, campaign_id) WHERE (reason = 'promotion'::text);
CREATE UNIQUE INDEX loyalty_ledger_reverses_once ON loyalty.loyalty_ledger USING btree (casino_id, reversed_entry_id) WHERE (reversed_entry_id IS NOT NULL);

-- Functions

CREATE OR REPLACE FUNCTION loyalty.accrual_inputs(p_average_bet numeric, p_currency_code text, p_house_edge_percent numeric, p_decisions_per_hour integer, p_point_multiplier numeric, p_duration_seconds bigint, p_start_time timestamp with time zone, p_end_time timestamp with time zone, p_program loyalty.loyalty_program, p_tier_multiplier numeric)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object(
        'averageBet', p_average_bet::text,
        'currencyCode', p_currency_code,
        'houseEdgePercent', p_house_edge_percent::text,
        'decisionsPerHour', p_decisions_per_hour::text,
        'pointMultiplier', p_point_multiplier::text,
        'durationSeconds', p_duration_seconds::text,
        'startTime', to_char(p_start_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'endTime', to_char(p_end_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'programVersion', p_program.version::text,
        'pointsPerUnit', p_program.points_per_unit::text,
        'rounding', p_program.rounding,
        'tierMultiplier', p_tier_multiplier::text,
        'theo', (div(
            p_average_bet * p_house_edge_percent * p_decisions_per_hour * p_duration_seconds, 3600
        ) / 100)::numeric(30, 2)::text
    )
$function$
;

CREATE OR REPLACE FUNCTION loyalty.accrue_points_from_slip(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_acting_service text, p_idempotency_key text, p_fingerprint bytea, p_player_id uuid, p_rating_slip_id uuid, p_visit_id uuid, p_average_bet numeric, p_currency_code text, p_house_edge_percent numeric, p_decisions_per_hour integer, p_point_multiplier numeric, p_duration_seconds bigint, p_start_time timestamp with time zone, p_end_time timestamp with time zone, OUT entry loyalty.loyalty_ledger, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    player  loyalty.player_loyalty;
    priced  record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    player := loyalty.lock_player(p_casino_id, p_player_id);
    entry := loyalty.find_accrual(p_casino_id, p_idempotency_key, p_fingerprint, p_rating_slip_id);
    IF player.player_id IS NULL AND entry.id IS NULL THEN
        player := loyalty.create_player(p_casino_id, p_player_id, clock_timestamp());
        -- Somebody may have written the entry while this call waited for the new row.
        entry := loyalty.find_accrual(
            p_casino_id, p_idempotency_key, p_fingerprint, p_rating_slip_id
        );
        IF entry.id IS NOT NULL AND player.entry_count = 0 THEN
            -- It is another player's: the caller runs again, and no empty row stays.
            RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'the slip was paid elsewhere';
        END IF;
    END IF;
    is_existing := entry.id IS NOT NULL;
    IF is_existing THEN
        RETURN;
    END IF;

    priced := loyalty.price_play(
        p_casino_id, player.lifetime_points,
        p_average_bet, p_currency_code, p_house_edge_percent, p_decisions_per_hour,
        p_point_multiplier, p_duration_seconds, p_start_time, p_end_time
    );
    entry.points_delta := priced.points;
    entry.metadata := priced.inputs;
    entry.reason := 'base_accrual';
    entry.source_kind := 'rating_slip';
    entry.source_id := p_rating_slip_id;
    entry.rating_slip_id := p_rating_slip_id;
    entry.visit_id := p_visit_id;
    entry.effective_time := p_end_time;
    entry.staff_id := p_staff_id;
    entry.acting_service := p_acting_service;
    entry.correlation_id := p_correlation_id;
    entry.idempotency_key := p_idempotency_key;
    entry.fingerprint := p_fingerprint;
    entry.note := '';
    entry := loyalty.append_entry(player, entry, entry.points_delta);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.append_entry(p_player loyalty.player_loyalty, p_entry loyalty.loyalty_ledger, p_earned bigint)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment    CONSTANT timestamptz := clock_timestamp();
    program   CONSTANT loyalty.loyalty_program
        := loyalty.program_in_force(p_player.casino_id, moment);
    standing  record;
BEGIN
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
    p_entry.gaming_day := loyalty.gaming_day(program, moment);

    INSERT INTO loyalty.loyalty_ledger VALUES (p_entry.*);

    UPDATE loyalty.player_loyalty AS p
    SET current_balance = p_entry.balance_after,
        lifetime_points = p_entry.lifetime_after,
        entry_count = p_entry.entry_number,
        tier = p_entry.tier_after,
        updated_time = p_entry.recorded_time
    WHERE p.casino_id = p_player.casino_id
        AND p.player_id = p_player.player_id;
    RETURN p_entry;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.create_player(p_casino_id uuid, p_player_id uuid, p_time timestamp with time zone)
 RETURNS loyalty.player_loyalty
 LANGUAGE plpgsql
AS $function$
DECLARE
    program  CONSTANT loyalty.loyalty_program := loyalty.program_in_force(p_casino_id, p_time);
BEGIN
    INSERT INTO loyalty.player_loyalty (
        casino_id, player_id, current_balance, lifetime_points, entry_count,
        created_time, updated_time, tier
    )
    VALUES (
        p_casino_id, p_player_id, 0, 0, 0,
        p_time, p_time, (loyalty.tier_standing(program.tiers, 0)).tier
    )
    ON CONFLICT (casino_id, player_id) DO NOTHING;
    RETURN loyalty.lock_player(p_casino_id, p_player_id);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.default_program(p_casino_id uuid)
 RETURNS loyalty.loyalty_program
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT ROW(
        p_casino_id,
        0,
        '-infinity'::timestamptz,
        10::numeric,
        'floor',
        ARRAY[
            ROW('BRONZE',       0, 1),
            ROW('SILVER',    1000, 1.25),
            ROW('GOLD',      5000, 1.5),
            ROW('PLATINUM', 20000, 2)
        ]::loyalty.program_tier[],
        -5000::bigint,
        'UTC',
        '06:00'::time,
        '-infinity'::timestamptz,
        '00000000-0000-0000-0000-000000000000'::uuid
    )::loyalty.loyalty_program
$function$
;

CREATE OR REPLACE FUNCTION loyalty.find_accrual(p_casino_id uuid, p_idempotency_key text, p_fingerprint bytea, p_rating_slip_id uuid)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE plpgsql
AS $function$
DECLARE
    entry  loyalty.loyalty_ledger;
BEGIN
    SELECT l.* INTO entry
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.idempotency_key = p_idempotency_key;
    IF FOUND THEN
        IF entry.fingerprint <> p_fingerprint THEN
            RAISE EXCEPTION USING
                ERRCODE = 'LY002',
                MESSAGE = 'the idempotency key was used for another request',
                DETAIL = entry.id;
        END IF;
        RETURN entry;
    END IF;

    SELECT l.* INTO entry
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.source_kind = 'rating_slip'
        AND l.source_id = p_rating_slip_id
        AND l.reason = 'base_accrual';
    RETURN entry;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.gaming_day(p_program loyalty.loyalty_program, p_time timestamp with time zone)
 RETURNS date
 LANGUAGE sql
 STABLE
AS $function$
    SELECT ((p_time AT TIME ZONE p_program.time_zone) - p_program.gaming_day_start)::date
$function$
;

CREATE OR REPLACE FUNCTION loyalty.get_player_loyalty(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_player_id uuid)
 RETURNS TABLE(player_id uuid, current_balance bigint, lifetime_points bigint, tier text, progress_percent integer, next_tier text, points_to_next bigint, entry_count bigint, created_time timestamp with time zone, updated_time timestamp with time zone)
 LANGUAGE plpgsql
AS $function$
DECLARE
    program  loyalty.loyalty_program;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    program := loyalty.program_in_force(p_casino_id, clock_timestamp());
    RETURN QUERY
    SELECT
        p.player_id, p.current_balance, p.lifetime_points,
        s.tier, s.progress_percent, s.next_tier, s.points_to_next,
        p.entry_count, p.created_time, p.updated_time
    FROM loyalty.player_loyalty AS p,
        loyalty.tier_standing(program.tiers, p.lifetime_points) AS s
    WHERE p.casino_id = p_casino_id
        AND p.player_id = p_player_id;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.list_ledger_entries(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_row_limit integer, p_after_number bigint, p_after_time timestamp with time zone, p_after_id uuid, p_player_id uuid, p_reason text, p_rating_slip_id uuid, p_visit_id uuid, p_campaign_id uuid, p_by_staff_id uuid, p_by_correlation text, p_recorded_from timestamp with time zone, p_recorded_before timestamp with time zone)
 RETURNS SETOF loyalty.loyalty_ledger
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    IF p_player_id IS NOT NULL THEN
        RETURN QUERY
        SELECT l.*
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_casino_id
            AND l.player_id = p_player_id
            AND (p_after_number IS NULL OR l.entry_number < p_after_number)
            AND (p_reason IS NULL OR l.reason = p_reason)
            AND (p_rating_slip_id IS NULL OR l.rating_slip_id = p_rating_slip_id)
            AND (p_visit_id IS NULL OR l.visit_id = p_visit_id)
            AND (p_campaign_id IS NULL OR l.campaign_id = p_campaign_id)
            AND (p_by_staff_id IS NULL OR l.staff_id = p_by_staff_id)
            AND (p_by_correlation IS NULL OR l.correlation_id = p_by_correlation)
            AND (p_recorded_from IS NULL OR l.recorded_time >= p_recorded_from)
            AND (p_recorded_before IS NULL OR l.recorded_time < p_recorded_before)
        ORDER BY l.entry_number DESC
        LIMIT p_row_limit;
    ELSE
        RETURN QUERY
        SELECT l.*
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_casino_id
            AND (p_after_time IS NULL OR (l.recorded_time, l.id) < (p_after_time, p_after_id))
            AND (p_reason IS NULL OR l.reason = p_reason)
            AND (p_rating_slip_id IS NULL OR l.rating_slip_id = p_rating_slip_id)
            AND (p_visit_id IS NULL OR l.visit_id = p_visit_id)
            AND (p_campaign_id IS NULL OR l.campaign_id = p_campaign_id)
            AND (p_by_staff_id IS NULL OR l.staff_id = p_by_staff_id)
            AND (p_by_correlation IS NULL OR l.correlation_id = p_by_correlation)
            AND (p_recorded_from IS NULL OR l.recorded_time >= p_recorded_from)
            AND (p_recorded_before IS NULL OR l.recorded_time < p_recorded_before)
        ORDER BY l.recorded_time DESC, l.id DESC
        LIMIT p_row_limit;
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.lock_player(p_casino_id uuid, p_player_id uuid)
 RETURNS loyalty.player_loyalty
 LANGUAGE sql
AS $function$
    SELECT p.*
    FROM loyalty.player_loyalty AS p
    WHERE p.casino_id = p_casino_id
        AND p.player_id = p_player_id
    FOR UPDATE
$function$
;

CREATE OR REPLACE FUNCTION loyalty.points_for_play(p_average_bet numeric, p_house_edge_percent numeric, p_decisions_per_hour integer, p_duration_seconds bigint, p_points_per_unit numeric, p_point_multiplier numeric, p_tier_multiplier numeric, p_rounding text)
 RETURNS numeric
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
DECLARE
    -- 100 for the percent, 3600 for the hour.
    divisor    CONSTANT numeric := 360000;
    dividend   CONSTANT numeric := p_average_bet * p_house_edge_percent * p_decisions_per_hour
        * p_duration_seconds * p_points_per_unit * p_point_multiplier * p_tier_multiplier;
    remainder  CONSTANT numeric := mod(dividend, divisor);
BEGIN
    RETURN div(dividend, divisor) + CASE p_rounding
        WHEN 'floor'   THEN 0
        WHEN 'nearest' THEN (2 * remainder >= divisor)::integer
        WHEN 'ceil'    THEN (remainder > 0)::integer
    END;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.price_play(p_casino_id uuid, p_lifetime_points bigint, p_average_bet numeric, p_currency_code text, p_house_edge_percent numeric, p_decisions_per_hour integer, p_point_multiplier numeric, p_duration_seconds bigint, p_start_time timestamp with time zone, p_end_time timestamp with time zone, OUT points bigint, OUT inputs jsonb)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    program  CONSTANT loyalty.loyalty_program
        := loyalty.program_in_force(p_casino_id, p_start_time);
    rate     CONSTANT numeric
        := (loyalty.tier_standing(program.tiers, p_lifetime_points)).multiplier;
BEGIN
    points := loyalty.points_for_play(
        p_average_bet, p_house_edge_percent, p_decisions_per_hour, p_duration_seconds,
        program.points_per_unit, p_point_multiplier, rate, program.rounding
    );
    inputs := loyalty.accrual_inputs(
        p_average_bet, p_currency_code, p_house_edge_percent, p_decisions_per_hour,
        p_point_multiplier, p_duration_seconds, p_start_time, p_end_time, program, rate
    );
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.program_in_force(p_casino_id uuid, p_time timestamp with time zone)
 RETURNS loyalty.loyalty_program
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    program loyalty.loyalty_program;
BEGIN
    SELECT p.* INTO program
    FROM loyalty.loyalty_program AS p
    WHERE p.casino_id = p_casino_id
        AND p.effective_time <= p_time
    ORDER BY p.effective_time DESC
    LIMIT 1;
    IF NOT FOUND THEN
        program := loyalty.default_program(p_casino_id);
    END IF;
    RETURN program;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.set_context(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_casino_id IS NULL OR p_staff_id IS NULL
        OR COALESCE(p_role, '') NOT IN ('dealer', 'cashier', 'pit_boss', 'admin', 'service')
        OR COALESCE(p_correlation_id, '') = ''
    THEN
        RAISE EXCEPTION USING ERRCODE = 'LY001', MESSAGE = 'the context is incomplete';
    END IF;
    PERFORM set_config('app.casino_id', p_casino_id::text, true),
            set_config('app.staff_id', p_staff_id::text, true),
            set_config('app.role', p_role, true),
            set_config('app.correlation_id', p_correlation_id, true);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.tier_standing(p_tiers loyalty.program_tier[], p_lifetime bigint, OUT tier text, OUT multiplier numeric, OUT progress_percent integer, OUT next_tier text, OUT points_to_next bigint)
 RETURNS record
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
DECLARE
    held  integer := 1;
BEGIN
    WHILE held < cardinality(p_tiers) AND p_lifetime >= p_tiers[held + 1].lifetime_start LOOP
        held := held + 1;
    END LOOP;
    tier := p_tiers[held].name;
    multiplier := p_tiers[held].multiplier;
    IF held = cardinality(p_tiers) THEN
        progress_percent := 100;
        next_tier := '';
        points_to_next := 0;
    ELSE
        next_tier := p_tiers[held + 1].name;
        points_to_next := p_tiers[held + 1].lifetime_start - p_lifetime;
        progress_percent := GREATEST(0, div(
            100 * (p_lifetime - p_tiers[held].lifetime_start)::numeric,
            (p_tiers[held + 1].lifetime_start - p_tiers[held].lifetime_start)::numeric
        ));
    END IF;
END
$function$
;

-- Row-level security

ALTER TABLE loyalty.loyalty_audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_audit FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_ledger FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_program ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_program FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.player_loyalty ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.player_loyalty FORCE ROW LEVEL SECURITY;

-- Policies

CREATE POLICY own_casino ON loyalty.loyalty_audit
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

CREATE POLICY own_casino ON loyalty.loyalty_ledger
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

CREATE POLICY reason_of_role ON loyalty.loyalty_ledger
    AS RESTRICTIVE FOR INSERT TO PUBLIC
    WITH CHECK (staff_id = current_setting('app.staff_id'::text)::uuid AND
CASE reason
    WHEN 'base_accrual'::text THEN current_setting('app.role'::text) = 'service'::text
    WHEN 'manual_reward'::text THEN current_setting('app.role'::text) = ANY (ARRAY['pit_boss'::text, 'admin'::text])
    WHEN 'promotion'::text THEN current_setting('app.role'::text) = ANY (ARRAY['pit_boss'::text, 'admin'::text])
    WHEN 'redemption'::text THEN current_setting('app.role'::text) = ANY (ARRAY['cashier'::text, 'pit_boss'::text, 'admin'::text])
    WHEN 'adjustment'::text THEN current_setting('app.role'::text) = 'admin'::text
    WHEN 'reversal'::text THEN current_setting('app.role'::text) = 'admin'::text
    ELSE false
END);

CREATE POLICY own_casino ON loyalty.loyalty_program
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

CREATE POLICY own_casino ON loyalty.player_loyalty
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

-- Grants, beside what the owner may

GRANT USAGE ON SCHEMA loyalty TO loyalty_service;
GRANT USAGE ON TYPE loyalty.program_tier TO PUBLIC;
GRANT INSERT, SELECT ON TABLE loyalty.loyalty_audit TO loyalty_service;
GRANT INSERT, SELECT ON TABLE loyalty.loyalty_ledger TO loyalty_service;
GRANT SELECT ON TABLE loyalty.loyalty_program TO loyalty_service;
GRANT INSERT, SELECT, UPDATE ON TABLE loyalty.player_loyalty TO loyalty_service;
GRANT SELECT ON TABLE loyalty.schema_migration TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.accrual_inputs(numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone,loyalty.loyalty_program,numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.accrual_inputs(numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone,loyalty.loyalty_program,numeric) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.accrue_points_from_slip(uuid,uuid,text,text,text,text,bytea,uuid,uuid,uuid,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.accrue_points_from_slip(uuid,uuid,text,text,text,text,bytea,uuid,uuid,uuid,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.append_entry(loyalty.player_loyalty,loyalty.loyalty_ledger,bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.append_entry(loyalty.player_loyalty,loyalty.loyalty_ledger,bigint) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.create_player(uuid,uuid,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.create_player(uuid,uuid,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.default_program(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.default_program(uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.find_accrual(uuid,text,bytea,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.find_accrual(uuid,text,bytea,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.gaming_day(loyalty.loyalty_program,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.gaming_day(loyalty.loyalty_program,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.get_player_loyalty(uuid,uuid,text,text,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.get_player_loyalty(uuid,uuid,text,text,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.list_ledger_entries(uuid,uuid,text,text,integer,bigint,timestamp with time zone,uuid,uuid,text,uuid,uuid,uuid,uuid,text,timestamp with time zone,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.list_ledger_entries(uuid,uuid,text,text,integer,bigint,timestamp with time zone,uuid,uuid,text,uuid,uuid,uuid,uuid,text,timestamp with time zone,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.lock_player(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.lock_player(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.points_for_play(numeric,numeric,integer,bigint,numeric,numeric,numeric,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.points_for_play(numeric,numeric,integer,bigint,numeric,numeric,numeric,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.price_play(uuid,bigint,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.price_play(uuid,bigint,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.program_in_force(uuid,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.program_in_force(uuid,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.set_context(uuid,uuid,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.set_context(uuid,uuid,text,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.tier_standing(loyalty.program_tier[],bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.tier_standing(loyalty.program_tier[],bigint) TO loyalty_service;
