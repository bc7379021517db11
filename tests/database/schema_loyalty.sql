-- The schema loyalty as the migrations build it, everything owned by loyalty_owner.
-- Written by `python -m tests.database.schema_dump`; a test compares it with the real thing.

SET check_function_bodies = off;
CREATE SCHEMA loyalty;

-- Types

CREATE TYPE loyalty.chain_break AS (
    player_id uuid,
    entry_number bigint,
    entry_id uuid,
    fault text
);

CREATE TYPE loyalty.program_tier AS (
    name text,
    lifetime_start bigint,
    multiplier numeric
);

-- Tables

CREATE TABLE loyalty.drift_schedule (
    casino_id uuid NOT NULL,
    next_time timestamp with time zone NOT NULL,
    lease_until timestamp with time zone,
    lease_holder uuid,
    last_time timestamp with time zone,
    CONSTRAINT drift_schedule_pkey PRIMARY KEY (casino_id)
);

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
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
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
    CONSTRAINT loyalty_ledger_check3 CHECK (octet_length(previous_hash) = 32 AND octet_length(hash) = 32),
    CONSTRAINT loyalty_ledger_check4 CHECK (
CASE reason
    WHEN 'base_accrual'::text THEN source_kind = 'rating_slip'::text
    WHEN 'manual_reward'::text THEN source_kind = ANY (ARRAY['rating_slip'::text, 'reward'::text, 'staff'::text])
    WHEN 'adjustment'::text THEN source_kind = ANY (ARRAY['reward'::text, 'staff'::text])
    WHEN 'promotion'::text THEN source_kind = ANY (ARRAY['rating_slip'::text, 'visit'::text, 'player'::text])
    WHEN 'redemption'::text THEN source_kind = ANY (ARRAY['reward'::text, 'staff'::text])
    WHEN 'reversal'::text THEN source_kind = 'entry'::text
    ELSE false
END),
    CONSTRAINT loyalty_ledger_check5 CHECK (reason <> 'promotion'::text OR campaign_id IS NOT NULL),
    CONSTRAINT loyalty_ledger_check6 CHECK ((reason = 'reversal'::text) = (reversed_entry_id IS NOT NULL)),
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
    head_hash bytea NOT NULL,
    CONSTRAINT player_loyalty_pkey PRIMARY KEY (casino_id, player_id),
    CONSTRAINT player_loyalty_entry_count_check CHECK (entry_count >= 0),
    CONSTRAINT player_loyalty_head_hash_check CHECK (octet_length(head_hash) = 32)
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
CREATE INDEX loyalty_ledger_by_correlation ON loyalty.loyalty_ledger USING btree (casino_id, correlation_id);
CREATE INDEX loyalty_ledger_by_rating_slip ON loyalty.loyalty_ledger USING btree (casino_id, rating_slip_id) WHERE (rating_slip_id IS NOT NULL);
CREATE INDEX loyalty_ledger_by_staff ON loyalty.loyalty_ledger USING btree (casino_id, staff_id, recorded_time, id);
CREATE INDEX loyalty_ledger_by_time ON loyalty.loyalty_ledger USING btree (casino_id, recorded_time, id);
CREATE UNIQUE INDEX loyalty_ledger_pays_slip_once ON loyalty.loyalty_ledger USING btree (casino_id, source_kind, source_id) WHERE ((reason = ANY (ARRAY['base_accrual'::text, 'manual_reward'::text])) AND (source_kind = 'rating_slip'::text));
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
    account  record;
    priced   record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entry := loyalty.draft_entry(
        'base_accrual', p_staff_id, p_acting_service, p_correlation_id,
        p_idempotency_key, p_fingerprint
    );
    entry.source_kind := 'rating_slip';
    entry.source_id := p_rating_slip_id;
    entry.rating_slip_id := p_rating_slip_id;
    entry.visit_id := p_visit_id;
    entry.effective_time := p_end_time;
    account := loyalty.claim_account(p_casino_id, p_player_id, entry);
    is_existing := (account.original).id IS NOT NULL;
    IF is_existing THEN
        entry := account.original;
        RETURN;
    END IF;

    priced := loyalty.price_play(
        p_casino_id, (account.player).lifetime_points,
        p_average_bet, p_currency_code, p_house_edge_percent, p_decisions_per_hour,
        p_point_multiplier, p_duration_seconds, p_start_time, p_end_time
    );
    entry.points_delta := priced.points;
    entry.metadata := priced.inputs;
    entry := loyalty.append_entry(account.player, entry, entry.points_delta);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.append_entry(p_player loyalty.player_loyalty, p_entry loyalty.loyalty_ledger, p_earned bigint)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE plpgsql
AS $function$
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
$function$
;

CREATE OR REPLACE FUNCTION loyalty.apply_promotion(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_acting_service text, p_idempotency_key text, p_fingerprint bytea, p_player_id uuid, p_campaign_id uuid, p_source_kind text, p_source_id uuid, p_bonus_points bigint, p_multiplier numeric, p_note text, OUT entry loyalty.loyalty_ledger, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    account  record;
    priced   record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entry := loyalty.draft_entry(
        'promotion', p_staff_id, p_acting_service, p_correlation_id,
        p_idempotency_key, p_fingerprint
    );
    entry.source_kind := p_source_kind;
    entry.source_id := p_source_id;
    entry.campaign_id := p_campaign_id;
    entry.rating_slip_id := CASE p_source_kind WHEN 'rating_slip' THEN p_source_id END;
    entry.visit_id := CASE p_source_kind WHEN 'visit' THEN p_source_id END;
    entry.note := p_note;
    account := loyalty.claim_account(p_casino_id, p_player_id, entry);
    is_existing := (account.original).id IS NOT NULL;
    IF is_existing THEN
        entry := account.original;
        RETURN;
    END IF;

    priced := loyalty.price_promotion(
        p_casino_id, p_player_id, p_source_id, p_bonus_points, p_multiplier
    );
    entry.points_delta := priced.points;
    entry.metadata := priced.inputs;
    entry := loyalty.append_entry(account.player, entry, entry.points_delta);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.chain_anchor(p_casino_id uuid, p_player_id uuid, p_entry_number bigint)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    anchor  loyalty.loyalty_ledger;
BEGIN
    IF p_entry_number = 0 THEN
        anchor.entry_number := 0;
        anchor.balance_after := 0;
        anchor.lifetime_after := 0;
        anchor.hash := loyalty.first_hash();
        RETURN anchor;
    END IF;
    SELECT l.* INTO anchor
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.player_id = p_player_id
        AND l.entry_number = p_entry_number;
    RETURN anchor;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.chain_end_fault(p_after_number bigint, p_player loyalty.player_loyalty, p_last loyalty.loyalty_ledger, OUT entry_number bigint, OUT entry_id uuid, OUT fault text)
 RETURNS record
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
BEGIN
    IF p_last.entry_number IS NULL THEN
        -- The entry that was to be followed has gone since it was verified.
        entry_number := p_after_number;
        fault := 'MISSING';
    ELSIF p_player.entry_count > p_last.entry_number
        OR (p_last.entry_number = 0 AND p_player.head_hash <> p_last.hash)
    THEN
        entry_number := p_last.entry_number + 1;
        fault := 'MISSING';
    ELSIF p_player.head_hash <> p_last.hash THEN
        entry_number := p_last.entry_number;
        entry_id := p_last.id;
        fault := 'CONTENT';
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.check_balance_drift(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_player_id uuid, p_after_player uuid, p_player_limit integer, p_entry_limit integer, OUT players_checked bigint, OUT last_player uuid, OUT findings jsonb)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment   CONSTANT timestamptz := loyalty.present();
    finding  jsonb;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    IF p_player_id IS NULL THEN
        last_player := loyalty.drift_batch_end(
            p_casino_id, p_after_player, p_player_limit, p_entry_limit
        );
    END IF;
    SELECT
        count(*),
        COALESCE(jsonb_agg(to_jsonb(c)) FILTER (WHERE c.severity IS NOT NULL), '[]')
    INTO players_checked, findings
    FROM loyalty.compare_balances(p_casino_id, p_player_id, p_after_player, last_player) AS c;

    FOR finding IN SELECT f.value FROM jsonb_array_elements(findings) AS f LOOP
        INSERT INTO loyalty.loyalty_audit (
            casino_id, recorded_time, staff_id, player_id, role, action, correlation_id,
            before, after
        )
        VALUES (
            p_casino_id, moment, CASE WHEN p_role <> 'scheduler' THEN p_staff_id END,
            (finding ->> 'player_id')::uuid, p_role, 'balance_drift_found', p_correlation_id,
            -- Nothing was cached without a row.
            CASE WHEN (finding -> 'has_balance')::boolean THEN jsonb_build_object(
                'current_balance', finding -> 'current_balance',
                'lifetime_points', finding -> 'lifetime_points',
                'tier', finding -> 'tier'
            ) END,
            jsonb_build_object(
                'current_balance', finding -> 'ledger_balance',
                'lifetime_points', finding -> 'ledger_lifetime_points',
                'tier', finding -> 'ledger_tier',
                'drift_points', finding -> 'drift_points',
                'severity', finding -> 'severity'
            )
        );
    END LOOP;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.check_spending(p_player loyalty.player_loyalty, p_points bigint, p_allow_overdraw boolean)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
DECLARE
    -- Numeric: far below zero the difference need not fit in 64 bits, and is refused.
    balance  CONSTANT numeric := p_player.current_balance;
    program  loyalty.loyalty_program;
BEGIN
    IF balance - p_points >= 0 THEN
        RETURN '{}';
    END IF;
    IF NOT p_allow_overdraw THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY004',
            MESSAGE = 'the balance is too small',
            DETAIL = json_build_object('balance', balance::text, 'points', p_points::text);
    END IF;
    program := loyalty.program_in_force(p_player.casino_id, loyalty.present());
    IF balance - p_points < program.overdraw_floor THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY005',
            MESSAGE = 'the overdraw goes below the floor',
            DETAIL = json_build_object(
                'balance', balance::text,
                'points', p_points::text,
                'overdrawFloor', program.overdraw_floor::text
            );
    END IF;
    RETURN jsonb_build_object('overdrawFloor', program.overdraw_floor::text);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.claim_account(p_casino_id uuid, p_player_id uuid, p_draft loyalty.loyalty_ledger, OUT player loyalty.player_loyalty, OUT original loyalty.loyalty_ledger)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
    player := loyalty.lock_player(p_casino_id, p_player_id);
    original := loyalty.find_original(p_casino_id, p_draft);
    IF player.player_id IS NULL AND original.id IS NULL THEN
        player := loyalty.create_player(p_casino_id, p_player_id);
        original := loyalty.find_original(p_casino_id, p_draft);
        IF original.id IS NOT NULL AND player.entry_count = 0 THEN
            -- It is another player's: no empty row may stay for this one.
            RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'it was credited elsewhere';
        END IF;
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.claim_drift_check(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_holder uuid, p_lease interval)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    UPDATE loyalty.drift_schedule AS s
    SET lease_holder = p_holder,
        lease_until = moment + p_lease
    WHERE s.casino_id = p_casino_id
        AND s.next_time <= moment
        AND (s.lease_until IS NULL OR s.lease_until <= moment);
    RETURN FOUND;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.compare_balances(p_casino_id uuid, p_player_id uuid, p_after_player uuid, p_last_player uuid)
 RETURNS TABLE(player_id uuid, has_balance boolean, current_balance bigint, ledger_balance numeric, lifetime_points bigint, ledger_lifetime_points numeric, tier text, ledger_tier text, drift_points numeric, severity text)
 LANGUAGE plpgsql
 STABLE
 SET plan_cache_mode TO 'force_custom_plan'
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    RETURN QUERY
    SELECT b.*, d.points, loyalty.drift_severity(
        -- Without an entry there is no tier to compare with.
        b.has_row AND b.cached_tier = COALESCE(b.last_tier, b.cached_tier), d.points
    )
    FROM (
        SELECT
            COALESCE(cached.player_id, summed.player_id) AS player,
            cached.player_id IS NOT NULL AS has_row,
            COALESCE(cached.current_balance, 0) AS cached_balance,
            COALESCE(summed.balance, 0) AS balance,
            COALESCE(cached.lifetime_points, 0) AS cached_lifetime,
            COALESCE(summed.lifetime, 0) AS lifetime,
            cached.tier AS cached_tier,
            loyalty.last_tier(p_casino_id, summed.player_id) AS last_tier
        FROM (
            SELECT p.casino_id, p.player_id, p.current_balance, p.lifetime_points, p.tier
            FROM loyalty.player_loyalty AS p
            WHERE p.casino_id = p_casino_id
                AND (p_player_id IS NULL OR p.player_id = p_player_id)
                AND (p_after_player IS NULL OR p.player_id > p_after_player)
                AND (p_last_player IS NULL OR p.player_id <= p_last_player)
        ) AS cached
        FULL JOIN (
            SELECT
                l.casino_id, l.player_id, sum(l.points_delta) AS balance,
                sum(l.lifetime_after) - sum(l.lifetime_before) AS lifetime
            FROM loyalty.loyalty_ledger AS l
            WHERE l.casino_id = p_casino_id
                AND (p_player_id IS NULL OR l.player_id = p_player_id)
                AND (p_after_player IS NULL OR l.player_id > p_after_player)
                AND (p_last_player IS NULL OR l.player_id <= p_last_player)
            GROUP BY l.casino_id, l.player_id
        ) AS summed
        ON summed.casino_id = cached.casino_id
            AND summed.player_id = cached.player_id
    ) AS b,
    LATERAL (
        SELECT GREATEST(
            abs(b.cached_balance - b.balance), abs(b.cached_lifetime - b.lifetime)
        ) AS points
    ) AS d
    ORDER BY b.player;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.create_player(p_casino_id uuid, p_player_id uuid)
 RETURNS loyalty.player_loyalty
 LANGUAGE plpgsql
AS $function$
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

CREATE OR REPLACE FUNCTION loyalty.draft_entry(p_reason text, p_staff_id uuid, p_acting_service text, p_correlation_id text, p_idempotency_key text, p_fingerprint bytea)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
DECLARE
    draft  loyalty.loyalty_ledger;
BEGIN
    draft.reason := p_reason;
    draft.staff_id := p_staff_id;
    draft.acting_service := p_acting_service;
    draft.correlation_id := p_correlation_id;
    draft.idempotency_key := p_idempotency_key;
    draft.fingerprint := p_fingerprint;
    RETURN draft;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.drift_batch_end(p_casino_id uuid, p_after_player uuid, p_player_limit integer, p_entry_limit integer)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
 SET plan_cache_mode TO 'force_custom_plan'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
AS $function$
BEGIN
    -- LEAST passes over a NULL.
    RETURN LEAST(
        (
            SELECT p.player_id
            FROM loyalty.player_loyalty AS p
            WHERE p.casino_id = p_casino_id
                AND (p_after_player IS NULL OR p.player_id > p_after_player)
            ORDER BY p.player_id
            OFFSET p_player_limit - 1
            LIMIT 1
        ),
        (
            SELECT l.player_id
            FROM loyalty.loyalty_ledger AS l
            WHERE l.casino_id = p_casino_id
                AND (p_after_player IS NULL OR l.player_id > p_after_player)
            ORDER BY l.player_id, l.entry_number
            OFFSET p_entry_limit - 1
            LIMIT 1
        )
    );
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.drift_severity(p_is_sound boolean, p_drift_points numeric)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT CASE
        WHEN p_drift_points > 1000 THEN 'critical'
        WHEN p_drift_points > 100 THEN 'warning'
        WHEN p_drift_points > 0 OR NOT p_is_sound THEN 'info'
    END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.enrol_casino(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    INSERT INTO loyalty.drift_schedule (casino_id, next_time)
    VALUES (
        p_casino_id,
        loyalty.next_drift_time(loyalty.program_in_force(p_casino_id, moment), moment)
    )
    ON CONFLICT (casino_id) DO NOTHING;
    RETURN FOUND;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.entry_hash(p_entry loyalty.loyalty_ledger)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT sha256(p_entry.previous_hash || convert_to(jsonb_build_array(
        p_entry.casino_id, p_entry.id, p_entry.player_id, p_entry.entry_number,
        p_entry.points_delta, p_entry.balance_before, p_entry.balance_after,
        p_entry.lifetime_before, p_entry.lifetime_after,
        p_entry.tier_before, p_entry.tier_after, p_entry.tier_progress_percent,
        p_entry.reason, p_entry.source_kind, p_entry.source_id,
        p_entry.rating_slip_id, p_entry.visit_id, p_entry.campaign_id,
        p_entry.reversed_entry_id, p_entry.staff_id, p_entry.acting_service,
        p_entry.correlation_id, p_entry.idempotency_key, encode(p_entry.fingerprint, 'hex'),
        p_entry.note, p_entry.metadata, p_entry.gaming_day,
        (extract(epoch FROM p_entry.recorded_time) * 1000000)::bigint,
        (extract(epoch FROM p_entry.effective_time) * 1000000)::bigint
    )::text, 'UTF8'))
$function$
;

CREATE OR REPLACE FUNCTION loyalty.find_entry(p_casino_id uuid, p_entry_id uuid)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE sql
 STABLE
AS $function$
    SELECT l.*
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.id = p_entry_id
$function$
;

CREATE OR REPLACE FUNCTION loyalty.find_original(p_casino_id uuid, p_draft loyalty.loyalty_ledger)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE plpgsql
AS $function$
DECLARE
    original  loyalty.loyalty_ledger;
    payment   loyalty.loyalty_ledger;
BEGIN
    SELECT l.* INTO original
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.idempotency_key = p_draft.idempotency_key;
    IF FOUND AND original.fingerprint <> p_draft.fingerprint THEN
        -- An accrual's derived key is the slip's ID, which somebody may have used for another
        -- entry. Once that slip is paid, by a manual reward say, it is no matter any more;
        -- only an accrual of other figures is a conflict still.
        IF p_draft.reason = 'base_accrual'
            AND p_draft.idempotency_key = p_draft.source_id::text
        THEN
            payment := loyalty.find_slip_entry(p_casino_id, p_draft.source_id);
            IF payment.id <> original.id OR payment.reason = 'manual_reward' THEN
                RETURN payment;
            END IF;
        END IF;
        RAISE EXCEPTION USING
            ERRCODE = 'LY002',
            MESSAGE = 'the idempotency key was used for another request',
            DETAIL = json_build_object('entryId', original.id);
    END IF;
    IF NOT FOUND THEN
        original := CASE p_draft.reason
            WHEN 'base_accrual'  THEN loyalty.find_slip_entry(p_casino_id, p_draft.source_id)
            WHEN 'manual_reward' THEN CASE p_draft.source_kind WHEN 'rating_slip'
                THEN loyalty.find_slip_entry(p_casino_id, p_draft.source_id) END
            WHEN 'promotion'     THEN loyalty.find_promotion(
                p_casino_id, p_draft.source_kind, p_draft.source_id, p_draft.campaign_id)
            WHEN 'reversal'      THEN loyalty.find_reversal(
                p_casino_id, p_draft.reversed_entry_id)
        END;
    END IF;
    RETURN original;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.find_promotion(p_casino_id uuid, p_source_kind text, p_source_id uuid, p_campaign_id uuid)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE sql
 STABLE
AS $function$
    SELECT l.*
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.source_kind = p_source_kind
        AND l.source_id = p_source_id
        AND l.campaign_id = p_campaign_id
        AND l.reason = 'promotion'
$function$
;

CREATE OR REPLACE FUNCTION loyalty.find_reversal(p_casino_id uuid, p_entry_id uuid)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE sql
 STABLE
AS $function$
    SELECT l.*
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.reversed_entry_id = p_entry_id
$function$
;

CREATE OR REPLACE FUNCTION loyalty.find_slip_entry(p_casino_id uuid, p_rating_slip_id uuid)
 RETURNS loyalty.loyalty_ledger
 LANGUAGE sql
 STABLE
AS $function$
    SELECT l.*
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.source_kind = 'rating_slip'
        AND l.source_id = p_rating_slip_id
        AND l.reason IN ('base_accrual', 'manual_reward')
$function$
;

CREATE OR REPLACE FUNCTION loyalty.finish_drift_check(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_holder uuid)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment     CONSTANT timestamptz := loyalty.present();
    following  timestamptz;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    following := loyalty.next_drift_time(loyalty.program_in_force(p_casino_id, moment), moment);
    UPDATE loyalty.drift_schedule AS s
    SET next_time = following,
        last_time = moment,
        lease_holder = NULL,
        lease_until = NULL
    WHERE s.casino_id = p_casino_id
        AND s.lease_holder = p_holder;
    RETURN FOUND;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.first_hash()
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT decode(repeat('00', 32), 'hex')
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

CREATE OR REPLACE FUNCTION loyalty.get_loyalty_program(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_time timestamp with time zone, OUT program loyalty.loyalty_program, OUT newest_version integer)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  CONSTANT timestamptz := COALESCE(p_time, loyalty.present());
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    program := loyalty.program_in_force(p_casino_id, moment);
    newest_version := (loyalty.newest_program(p_casino_id)).version;
END
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
    program := loyalty.program_in_force(p_casino_id, loyalty.present());
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

CREATE OR REPLACE FUNCTION loyalty.is_joined(p_previous loyalty.loyalty_ledger, p_entry loyalty.loyalty_ledger)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
BEGIN
    RETURN p_entry.previous_hash IS NOT DISTINCT FROM p_previous.hash
        AND p_entry.balance_before IS NOT DISTINCT FROM p_previous.balance_after
        AND p_entry.lifetime_before IS NOT DISTINCT FROM p_previous.lifetime_after
        AND (
            p_previous.entry_number = 0
            OR p_entry.tier_before IS NOT DISTINCT FROM p_previous.tier_after
        );
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.is_vouched_for(p_head_hash bytea, p_entry loyalty.loyalty_ledger)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    following  loyalty.loyalty_ledger
        := loyalty.chain_anchor(p_entry.casino_id, p_entry.player_id, p_entry.entry_number + 1);
BEGIN
    RETURN COALESCE(COALESCE(following.previous_hash, p_head_hash) = p_entry.hash, false);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.issue_manual_reward(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_acting_service text, p_idempotency_key text, p_fingerprint bytea, p_player_id uuid, p_points bigint, p_note text, p_rating_slip_id uuid, p_visit_id uuid, p_reward_id uuid, OUT entry loyalty.loyalty_ledger, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    is_reward  CONSTANT boolean := p_points > 0;
    account    record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entry := loyalty.draft_entry(
        CASE WHEN is_reward THEN 'manual_reward' ELSE 'adjustment' END,
        p_staff_id, p_acting_service, p_correlation_id,
        COALESCE(p_idempotency_key, loyalty.manual_reward_key(
            p_casino_id, p_player_id, p_staff_id, p_points, p_note, p_rating_slip_id, p_reward_id
        )),
        p_fingerprint
    );
    entry.source_kind := CASE
        WHEN p_rating_slip_id IS NOT NULL THEN 'rating_slip'
        WHEN p_reward_id IS NOT NULL THEN 'reward'
        ELSE 'staff'
    END;
    entry.source_id := COALESCE(p_rating_slip_id, p_reward_id, p_staff_id);
    entry.points_delta := p_points;
    entry.note := p_note;
    entry.rating_slip_id := p_rating_slip_id;
    entry.visit_id := p_visit_id;
    entry.metadata := jsonb_strip_nulls(jsonb_build_object('rewardId', p_reward_id));
    account := loyalty.claim_account(p_casino_id, p_player_id, entry);
    is_existing := (account.original).id IS NOT NULL;
    IF is_existing THEN
        entry := account.original;
        RETURN;
    END IF;
    IF NOT is_reward AND (account.player).entry_count = 0 THEN
        -- The row was made just now: there is nothing to correct.
        PERFORM loyalty.refuse_unknown_player(p_player_id);
    END IF;
    entry := loyalty.append_entry(
        account.player, entry, CASE WHEN is_reward THEN p_points ELSE 0 END
    );
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.last_tier(p_casino_id uuid, p_player_id uuid)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
    SELECT l.tier_after
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND l.player_id = p_player_id
    ORDER BY l.entry_number DESC
    LIMIT 1
$function$
;

CREATE OR REPLACE FUNCTION loyalty.ledger_tier(p_casino_id uuid, p_player_id uuid)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE
    program  CONSTANT loyalty.loyalty_program
        := loyalty.program_in_force(p_casino_id, loyalty.present());
BEGIN
    RETURN COALESCE(
        loyalty.last_tier(p_casino_id, p_player_id),
        (loyalty.tier_standing(program.tiers, 0)).tier
    );
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.list_due_drift_checks(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_row_limit integer)
 RETURNS SETOF uuid
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    RETURN QUERY
    SELECT s.casino_id
    FROM loyalty.drift_schedule AS s
    WHERE s.next_time <= moment
        AND (s.lease_until IS NULL OR s.lease_until <= moment)
    ORDER BY s.next_time, s.casino_id
    LIMIT p_row_limit;
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

CREATE OR REPLACE FUNCTION loyalty.locate_break(p_head_hash bytea, p_previous loyalty.loyalty_ledger, p_entry loyalty.loyalty_ledger, p_fault text, OUT entry_number bigint, OUT entry_id uuid, OUT fault text)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    -- No further back, so that a fault costs no more than a stretch of good entries.
    most_inserted  CONSTANT bigint := 1000;
    intruder       loyalty.loyalty_ledger;
BEGIN
    entry_number := p_entry.entry_number;
    entry_id := p_entry.id;
    fault := p_fault;
    IF p_fault = 'MISSING' THEN
        entry_number := p_previous.entry_number + 1;
        entry_id := NULL;
    ELSIF p_fault = 'CONTENT' THEN
        -- Was it pushed up by another one, which stands in its place now?
        SELECT l.* INTO intruder
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_entry.casino_id
            AND l.player_id = p_entry.player_id
            AND l.entry_number < p_entry.entry_number
            AND l.entry_number >= p_entry.entry_number - most_inserted
            AND l.previous_hash = p_entry.previous_hash
        ORDER BY l.entry_number
        LIMIT 1;
        p_entry.entry_number := intruder.entry_number;
        IF intruder.id IS NOT NULL AND loyalty.entry_hash(p_entry) = p_entry.hash THEN
            entry_number := intruder.entry_number;
            entry_id := intruder.id;
        END IF;
    ELSIF p_fault = 'LINK' AND p_previous.entry_number > 0
        AND p_entry.previous_hash <> p_previous.hash
        AND loyalty.is_vouched_for(p_head_hash, p_entry)
    THEN
        entry_number := p_previous.entry_number;
        entry_id := p_previous.id;
        fault := 'CONTENT';
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

CREATE OR REPLACE FUNCTION loyalty.manual_reward_key(p_casino_id uuid, p_player_id uuid, p_staff_id uuid, p_points bigint, p_note text, p_rating_slip_id uuid, p_reward_id uuid)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
    day     CONSTANT date
        := loyalty.gaming_day(loyalty.program_in_force(p_casino_id, moment), moment);
BEGIN
    RETURN CASE
        WHEN p_reward_id IS NOT NULL THEN 'reward_' || p_reward_id
        WHEN p_rating_slip_id IS NOT NULL THEN 'recovery_' || p_rating_slip_id
        ELSE encode(sha256(convert_to(
            jsonb_build_array(p_player_id, p_staff_id, p_points, p_note, day)::text, 'UTF8'
        )), 'hex')
    END;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.newest_program(p_casino_id uuid)
 RETURNS loyalty.loyalty_program
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    program  loyalty.loyalty_program;
BEGIN
    SELECT p.* INTO program
    FROM loyalty.loyalty_program AS p
    WHERE p.casino_id = p_casino_id
    ORDER BY p.version DESC
    LIMIT 1;
    IF NOT FOUND THEN
        program := loyalty.default_program(p_casino_id);
    END IF;
    RETURN program;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.next_drift_time(p_program loyalty.loyalty_program, p_time timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    check_time  CONSTANT time := '03:00';
    local_time  CONSTANT timestamp := p_time AT TIME ZONE p_program.time_zone;
    today       CONSTANT timestamptz
        := (local_time::date + check_time) AT TIME ZONE p_program.time_zone;
BEGIN
    IF today > p_time THEN
        RETURN today;
    END IF;
    RETURN (local_time::date + 1 + check_time) AT TIME ZONE p_program.time_zone;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.next_player(p_casino_id uuid, p_after_player uuid)
 RETURNS uuid
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    -- Variables and no expressions: behind a policy an index is searched for what
    -- cannot leak only, and PostgreSQL holds COALESCE to be able to.
    from_player   CONSTANT uuid
        := COALESCE(p_after_player, '00000000-0000-0000-0000-000000000000');
    -- Behind a player's last possible entry, so that the index leaves all of them out.
    after_number  CONSTANT bigint
        := CASE WHEN p_after_player IS NULL THEN 0 ELSE 9223372036854775807 END;
    with_row      uuid;
    with_entry    uuid;
BEGIN
    SELECT p.player_id INTO with_row
    FROM loyalty.player_loyalty AS p
    WHERE p.casino_id = p_casino_id
        AND p.player_id >= from_player
        AND p.player_id IS DISTINCT FROM p_after_player
    ORDER BY p.player_id
    LIMIT 1;
    SELECT l.player_id INTO with_entry
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_casino_id
        AND (l.player_id, l.entry_number) > (from_player, after_number)
    ORDER BY l.player_id, l.entry_number
    LIMIT 1;
    RETURN LEAST(with_row, with_entry);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.points_for_play(p_average_bet numeric, p_house_edge_percent numeric, p_decisions_per_hour integer, p_duration_seconds bigint, p_points_per_unit numeric, p_point_multiplier numeric, p_tier_multiplier numeric, p_rounding text)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE
AS $function$
    -- 360000: 100 for the percent, 3600 for the hour.
    SELECT loyalty.rounded(
        p_average_bet * p_house_edge_percent * p_decisions_per_hour * p_duration_seconds
            * p_points_per_unit * p_point_multiplier * p_tier_multiplier,
        360000,
        p_rounding
    )
$function$
;

CREATE OR REPLACE FUNCTION loyalty.present()
 RETURNS timestamp with time zone
 LANGUAGE sql
AS $function$
    SELECT clock_timestamp()
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

CREATE OR REPLACE FUNCTION loyalty.price_promotion(p_casino_id uuid, p_player_id uuid, p_rating_slip_id uuid, p_bonus_points bigint, p_multiplier numeric, OUT points bigint, OUT inputs jsonb)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    base  loyalty.loyalty_ledger;
BEGIN
    IF p_bonus_points IS NOT NULL THEN
        points := p_bonus_points;
        inputs := jsonb_build_object('bonusPoints', p_bonus_points::text);
        RETURN;
    END IF;
    base := loyalty.find_slip_entry(p_casino_id, p_rating_slip_id);
    IF base.id IS NULL OR base.reason <> 'base_accrual' OR base.player_id <> p_player_id
        OR (loyalty.find_reversal(p_casino_id, base.id)).id IS NOT NULL
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY008',
            MESSAGE = 'the slip has no base accrual for the player',
            DETAIL = json_build_object('slipId', p_rating_slip_id);
    END IF;
    points := loyalty.rounded(
        base.points_delta * (p_multiplier - 1), 1, base.metadata ->> 'rounding'
    );
    IF points = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY009',
            MESSAGE = 'the promotion comes to no points',
            DETAIL = json_build_object(
                'basePoints', base.points_delta::text, 'multiplier', p_multiplier::text
            );
    END IF;
    inputs := jsonb_build_object(
        'multiplier', p_multiplier::text,
        'baseEntryId', base.id,
        'basePoints', base.points_delta::text,
        'rounding', base.metadata ->> 'rounding'
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

CREATE OR REPLACE FUNCTION loyalty.reconcile_balance(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_player_id uuid, p_reason text)
 RETURNS TABLE(finding jsonb, is_repaired boolean, player_id uuid, current_balance bigint, lifetime_points bigint, tier text, progress_percent integer, next_tier text, points_to_next bigint, entry_count bigint, created_time timestamp with time zone, updated_time timestamp with time zone)
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment     CONSTANT timestamptz := loyalty.present();
    player     loyalty.player_loyalty;
    compared   record;
    cached     jsonb;
    corrected  jsonb;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    player := loyalty.lock_player(p_casino_id, p_player_id);
    SELECT c.* INTO compared
    FROM loyalty.compare_balances(p_casino_id, p_player_id, NULL, NULL) AS c;
    IF NOT FOUND THEN
        PERFORM loyalty.refuse_unknown_player(p_player_id);
    END IF;
    PERFORM loyalty.refuse_broken_ledger(p_casino_id, p_player_id);

    cached := loyalty.standing_of(player);
    player.casino_id := p_casino_id;
    player.player_id := p_player_id;
    player.current_balance := compared.ledger_balance;
    player.lifetime_points := compared.ledger_lifetime_points;
    player.tier := loyalty.ledger_tier(p_casino_id, p_player_id);
    corrected := loyalty.standing_of(player);
    is_repaired := corrected IS DISTINCT FROM cached;
    IF is_repaired THEN
        PERFORM loyalty.repair_balance(cached IS NULL, player);
        INSERT INTO loyalty.loyalty_audit (
            casino_id, recorded_time, staff_id, player_id, role, action, correlation_id,
            before, after
        )
        VALUES (
            p_casino_id, moment, p_staff_id, p_player_id, p_role, 'reconcile_balance',
            p_correlation_id, cached, corrected || jsonb_build_object('reason', p_reason)
        );
    END IF;
    RETURN QUERY
    SELECT to_jsonb(compared), is_repaired, g.*
    FROM loyalty.get_player_loyalty(
        p_casino_id, p_staff_id, p_role, p_correlation_id, p_player_id
    ) AS g;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.redeem_points(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_acting_service text, p_idempotency_key text, p_fingerprint bytea, p_player_id uuid, p_points bigint, p_note text, p_allow_overdraw boolean, p_reward_id uuid, p_campaign_id uuid, p_visit_id uuid, OUT entry loyalty.loyalty_ledger, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    player    loyalty.player_loyalty;
    original  loyalty.loyalty_ledger;
    overdraw  jsonb;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entry := loyalty.draft_entry(
        'redemption', p_staff_id, p_acting_service, p_correlation_id,
        p_idempotency_key, p_fingerprint
    );
    player := loyalty.lock_player(p_casino_id, p_player_id);
    original := loyalty.find_original(p_casino_id, entry);
    is_existing := original.id IS NOT NULL;
    IF is_existing THEN
        entry := original;
        RETURN;
    END IF;
    IF player.player_id IS NULL THEN
        PERFORM loyalty.refuse_unknown_player(p_player_id);
    END IF;

    overdraw := loyalty.check_spending(player, p_points, p_allow_overdraw);
    entry.points_delta := -p_points;
    entry.source_kind := CASE WHEN p_reward_id IS NULL THEN 'staff' ELSE 'reward' END;
    entry.source_id := COALESCE(p_reward_id, p_staff_id);
    entry.campaign_id := p_campaign_id;
    entry.visit_id := p_visit_id;
    entry.note := p_note;
    entry.metadata := overdraw || jsonb_strip_nulls(jsonb_build_object('rewardId', p_reward_id));
    entry := loyalty.append_entry(player, entry, 0);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.refuse_broken_ledger(p_casino_id uuid, p_player_id uuid)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    -- How many entries are read at a time.
    batch     CONSTANT bigint := 1000;
    verified  record;
    reached   bigint := 0;
BEGIN
    LOOP
        verified := loyalty.verify_player(p_casino_id, p_player_id, reached, batch);
        IF verified.fault IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'LY013',
                MESSAGE = 'the ledger of the player does not verify',
                DETAIL = json_build_object(
                    'playerId', p_player_id, 'entryNumber', verified.entry_number::text
                );
        END IF;
        EXIT WHEN verified.is_complete;
        reached := verified.last_number;
    END LOOP;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.refuse_drifted_balance(p_player loyalty.player_loyalty)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    last    loyalty.loyalty_ledger;
    agrees  boolean;
BEGIN
    SELECT l.* INTO last
    FROM loyalty.loyalty_ledger AS l
    WHERE l.casino_id = p_player.casino_id
        AND l.player_id = p_player.player_id
        AND l.entry_number = GREATEST(p_player.entry_count, 1);
    agrees := CASE p_player.entry_count
        WHEN 0 THEN last.id IS NULL
            AND p_player.current_balance = 0
            AND p_player.lifetime_points = 0
        ELSE last.id IS NOT NULL
            AND last.hash = p_player.head_hash
            AND last.balance_after = p_player.current_balance
            AND last.lifetime_after = p_player.lifetime_points
            AND last.tier_after = p_player.tier
    END;
    IF NOT agrees THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY014',
            MESSAGE = 'the balance is not what the ledger says',
            DETAIL = json_build_object('playerId', p_player.player_id);
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.refuse_early_program(p_program loyalty.loyalty_program, p_previous_time timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
DECLARE
    earliest  CONSTANT timestamptz
        := GREATEST(p_program.created_time, p_previous_time + interval '1 microsecond');
BEGIN
    IF p_program.effective_time < earliest THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY011',
            MESSAGE = 'the version would come into force too early',
            DETAIL = json_build_object('earliestTime', to_char(
                earliest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
            ));
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.refuse_irreversible(p_entry_id uuid, p_entry loyalty.loyalty_ledger)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
BEGIN
    IF p_entry.id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY006',
            MESSAGE = 'there is no such entry',
            DETAIL = json_build_object('entryId', p_entry_id);
    END IF;
    IF p_entry.reason = 'reversal' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY007',
            MESSAGE = 'a reversal cannot be reversed',
            DETAIL = json_build_object('entryId', p_entry_id);
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.refuse_stale_base(p_base_version integer, p_newest_version integer)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
BEGIN
    IF p_base_version <> p_newest_version THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY010',
            MESSAGE = 'the program is at another version',
            DETAIL = json_build_object('currentVersion', p_newest_version::text);
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.refuse_unknown_player(p_player_id uuid)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'LY003',
        MESSAGE = 'the player has no points',
        DETAIL = json_build_object('playerId', p_player_id);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.refuse_unknown_time_zone(p_time_zone text)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_timezone_names AS z
        WHERE z.name = p_time_zone
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'LY012',
            MESSAGE = 'there is no such time zone',
            DETAIL = json_build_object('timeZone', p_time_zone);
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.repair_balance(p_is_missing boolean, p_player loyalty.player_loyalty)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_is_missing THEN
        INSERT INTO loyalty.player_loyalty (
            casino_id, player_id, current_balance, lifetime_points, entry_count,
            created_time, updated_time, tier, head_hash
        )
        SELECT
            p_player.casino_id, p_player.player_id,
            p_player.current_balance, p_player.lifetime_points, l.entry_number,
            (
                SELECT f.recorded_time
                FROM loyalty.loyalty_ledger AS f
                WHERE f.casino_id = p_player.casino_id
                    AND f.player_id = p_player.player_id
                    AND f.entry_number = 1
            ),
            l.recorded_time, p_player.tier, l.hash
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_player.casino_id
            AND l.player_id = p_player.player_id
        ORDER BY l.entry_number DESC
        LIMIT 1;
    ELSE
        UPDATE loyalty.player_loyalty AS p
        SET current_balance = p_player.current_balance,
            lifetime_points = p_player.lifetime_points,
            tier = p_player.tier
        WHERE p.casino_id = p_player.casino_id
            AND p.player_id = p_player.player_id;
    END IF;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.reverse_entry(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_acting_service text, p_idempotency_key text, p_fingerprint bytea, p_entry_id uuid, p_note text, OUT entry loyalty.loyalty_ledger, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    reversed  loyalty.loyalty_ledger;
    original  loyalty.loyalty_ledger;
    player    loyalty.player_loyalty;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    -- An entry never changes, so it can be read before its player is locked.
    reversed := loyalty.find_entry(p_casino_id, p_entry_id);
    player := loyalty.lock_player(p_casino_id, reversed.player_id);
    entry := loyalty.draft_entry(
        'reversal', p_staff_id, p_acting_service, p_correlation_id,
        p_idempotency_key, p_fingerprint
    );
    entry.reversed_entry_id := p_entry_id;
    original := loyalty.find_original(p_casino_id, entry);
    is_existing := original.id IS NOT NULL;
    IF is_existing THEN
        entry := original;
        RETURN;
    END IF;
    PERFORM loyalty.refuse_irreversible(p_entry_id, reversed);

    entry.points_delta := -reversed.points_delta;
    entry.source_kind := 'entry';
    entry.source_id := p_entry_id;
    entry.rating_slip_id := reversed.rating_slip_id;
    entry.visit_id := reversed.visit_id;
    entry.campaign_id := reversed.campaign_id;
    entry.note := p_note;
    entry := loyalty.append_entry(
        player, entry, reversed.lifetime_before - reversed.lifetime_after
    );
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.rounded(p_dividend numeric, p_divisor numeric, p_rounding text)
 RETURNS numeric
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
DECLARE
    remainder  CONSTANT numeric := mod(p_dividend, p_divisor);
BEGIN
    RETURN div(p_dividend, p_divisor) + CASE p_rounding
        WHEN 'floor'   THEN 0
        WHEN 'nearest' THEN (2 * remainder >= p_divisor)::integer
        WHEN 'ceil'    THEN (remainder > 0)::integer
    END;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.set_context(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text)
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
        RAISE EXCEPTION USING ERRCODE = 'LY001', MESSAGE = 'the context is incomplete';
    END IF;
    PERFORM set_config('app.casino_id', p_casino_id::text, true),
            set_config('app.staff_id', p_staff_id::text, true),
            set_config('app.role', p_role, true),
            set_config('app.correlation_id', p_correlation_id, true);
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.standing_of(p_player loyalty.player_loyalty)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT CASE WHEN p_player.current_balance IS NOT NULL THEN jsonb_build_object(
        'current_balance', p_player.current_balance,
        'lifetime_points', p_player.lifetime_points,
        'tier', p_player.tier
    ) END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.suggest_points(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_player_id uuid, p_rating_slip_id uuid, p_average_bet numeric, p_currency_code text, p_house_edge_percent numeric, p_decisions_per_hour integer, p_point_multiplier numeric, p_duration_seconds bigint, p_start_time timestamp with time zone, p_end_time timestamp with time zone, OUT points bigint, OUT entry_id uuid, OUT current_balance bigint, OUT tier text, OUT tier_after text, OUT metadata jsonb)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    player   loyalty.player_loyalty;
    paid     loyalty.loyalty_ledger;
    program  loyalty.loyalty_program;
    earned   bigint := 0;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    SELECT p.* INTO player
    FROM loyalty.player_loyalty AS p
    WHERE p.casino_id = p_casino_id
        AND p.player_id = p_player_id;
    current_balance := COALESCE(player.current_balance, 0);
    player.lifetime_points := COALESCE(player.lifetime_points, 0);
    paid := loyalty.find_slip_entry(p_casino_id, p_rating_slip_id);
    entry_id := paid.id;
    IF entry_id IS NOT NULL THEN
        points := paid.points_delta;
        metadata := paid.metadata;
    ELSE
        SELECT s.points, s.points, s.inputs INTO points, earned, metadata
        FROM loyalty.price_play(
            p_casino_id, player.lifetime_points,
            p_average_bet, p_currency_code, p_house_edge_percent, p_decisions_per_hour,
            p_point_multiplier, p_duration_seconds, p_start_time, p_end_time
        ) AS s;
    END IF;
    program := loyalty.program_in_force(p_casino_id, loyalty.present());
    tier := (loyalty.tier_standing(program.tiers, player.lifetime_points)).tier;
    tier_after := (loyalty.tier_standing(program.tiers, player.lifetime_points + earned)).tier;
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

CREATE OR REPLACE FUNCTION loyalty.update_loyalty_program(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_base_version integer, p_points_per_unit numeric, p_rounding text, p_tiers loyalty.program_tier[], p_overdraw_floor bigint, p_time_zone text, p_gaming_day_start time without time zone, p_effective_time timestamp with time zone, OUT program loyalty.loyalty_program, OUT is_existing boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    moment  CONSTANT timestamptz := loyalty.present();
    newest  loyalty.loyalty_program;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    newest := loyalty.newest_program(p_casino_id);
    program := ROW(
        p_casino_id, newest.version, COALESCE(p_effective_time, newest.created_time),
        p_points_per_unit, p_rounding, p_tiers, p_overdraw_floor, p_time_zone,
        p_gaming_day_start, newest.created_time, p_staff_id
    );
    is_existing := newest.version - 1 = p_base_version AND program = newest;
    IF is_existing THEN
        RETURN;
    END IF;
    PERFORM loyalty.refuse_stale_base(p_base_version, newest.version);

    program.version := newest.version + 1;
    program.effective_time := COALESCE(p_effective_time, moment);
    program.created_time := moment;
    PERFORM loyalty.refuse_early_program(program, newest.effective_time);
    PERFORM loyalty.refuse_unknown_time_zone(p_time_zone);
    INSERT INTO loyalty.loyalty_program VALUES (program.*);
    INSERT INTO loyalty.loyalty_audit (
        casino_id, recorded_time, staff_id, role, action, correlation_id, before, after
    )
    VALUES (
        p_casino_id, moment, p_staff_id, p_role, 'update_loyalty_program', p_correlation_id,
        to_jsonb(newest), to_jsonb(program)
    );
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.verify_ledger(p_casino_id uuid, p_staff_id uuid, p_role text, p_correlation_id text, p_player_id uuid, p_from_player uuid, p_after_number bigint, p_limit bigint, p_break_limit integer, OUT entries_verified bigint, OUT players_verified bigint, OUT breaks loyalty.chain_break[], OUT next_player uuid, OUT next_number bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    budget  bigint := p_limit;
    walk    record;
BEGIN
    PERFORM loyalty.set_context(p_casino_id, p_staff_id, p_role, p_correlation_id);
    entries_verified := 0;
    players_verified := 0;
    breaks := '{}';
    next_player := COALESCE(
        p_from_player, p_player_id, loyalty.next_player(p_casino_id, NULL)
    );
    next_number := p_after_number;
    WHILE next_player IS NOT NULL AND budget > 0 AND cardinality(breaks) < p_break_limit LOOP
        walk := loyalty.verify_player(p_casino_id, next_player, next_number, budget);
        entries_verified := entries_verified + walk.entries_verified;
        budget := budget - walk.entries_verified - 1;
        next_number := walk.last_number;
        -- A player without any entry was not verified.
        IF walk.is_complete AND walk.last_number > 0 THEN
            players_verified := players_verified + 1;
        ELSIF walk.fault IS NOT NULL THEN
            breaks := breaks || ROW(
                next_player, walk.entry_number, walk.entry_id, walk.fault
            )::loyalty.chain_break;
        END IF;
        IF walk.is_complete OR walk.fault IS NOT NULL THEN
            next_player := CASE
                WHEN p_player_id IS NULL THEN loyalty.next_player(p_casino_id, next_player)
            END;
            next_number := 0;
        END IF;
    END LOOP;
END
$function$
;

CREATE OR REPLACE FUNCTION loyalty.verify_player(p_casino_id uuid, p_player_id uuid, p_after_number bigint, p_limit bigint, OUT entries_verified bigint, OUT last_number bigint, OUT is_complete boolean, OUT entry_number bigint, OUT entry_id uuid, OUT fault text)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    player    loyalty.player_loyalty;
    previous  loyalty.loyalty_ledger;
    entry     loyalty.loyalty_ledger;
BEGIN
    entries_verified := 0;
    last_number := p_after_number;
    is_complete := false;
    SELECT p.* INTO player
    FROM loyalty.player_loyalty AS p
    WHERE p.casino_id = p_casino_id
        AND p.player_id = p_player_id;
    previous := loyalty.chain_anchor(p_casino_id, p_player_id, p_after_number);
    FOR entry IN
        SELECT l.*
        FROM loyalty.loyalty_ledger AS l
        WHERE l.casino_id = p_casino_id
            AND l.player_id = p_player_id
            AND l.entry_number > p_after_number
            AND previous.entry_number IS NOT NULL
        ORDER BY l.entry_number
        LIMIT p_limit
    LOOP
        entries_verified := entries_verified + 1;
        fault := CASE
            WHEN entry.entry_number > last_number + 1
                AND (last_number < player.entry_count) IS NOT FALSE THEN 'MISSING'
            WHEN loyalty.entry_hash(entry) IS DISTINCT FROM entry.hash THEN 'CONTENT'
            WHEN NOT loyalty.is_joined(previous, entry) THEN 'LINK'
            WHEN entry.entry_number > player.entry_count THEN 'UNKNOWN'
        END;
        IF fault IS NOT NULL THEN
            SELECT b.entry_number, b.entry_id, b.fault INTO entry_number, entry_id, fault
            FROM loyalty.locate_break(player.head_hash, previous, entry, fault) AS b;
            RETURN;
        END IF;
        previous := entry;
        last_number := entry.entry_number;
    END LOOP;
    IF entries_verified = p_limit THEN
        RETURN;
    END IF;
    SELECT e.entry_number, e.entry_id, e.fault INTO entry_number, entry_id, fault
    FROM loyalty.chain_end_fault(p_after_number, player, previous) AS e;
    is_complete := fault IS NULL;
END
$function$
;

-- Row-level security

ALTER TABLE loyalty.drift_schedule ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.drift_schedule FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_audit FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_ledger FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_program ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.loyalty_program FORCE ROW LEVEL SECURITY;
ALTER TABLE loyalty.player_loyalty ENABLE ROW LEVEL SECURITY;
ALTER TABLE loyalty.player_loyalty FORCE ROW LEVEL SECURITY;

-- Policies

CREATE POLICY due_anywhere ON loyalty.drift_schedule
    AS PERMISSIVE FOR SELECT TO PUBLIC
    USING (current_setting('app.role'::text) = 'scheduler'::text);

CREATE POLICY own_casino ON loyalty.drift_schedule
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

CREATE POLICY role_enrols ON loyalty.drift_schedule
    AS RESTRICTIVE FOR INSERT TO PUBLIC
    WITH CHECK (current_setting('app.role'::text) = 'scheduler'::text);

CREATE POLICY role_schedules ON loyalty.drift_schedule
    AS RESTRICTIVE FOR UPDATE TO PUBLIC
    USING (true)
    WITH CHECK (current_setting('app.role'::text) = 'scheduler'::text);

CREATE POLICY own_casino ON loyalty.loyalty_audit
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

CREATE POLICY role_of_trail ON loyalty.loyalty_audit
    AS RESTRICTIVE FOR INSERT TO PUBLIC
    WITH CHECK (role = current_setting('app.role'::text) AND
CASE role
    WHEN 'admin'::text THEN staff_id = current_setting('app.staff_id'::text)::uuid
    WHEN 'scheduler'::text THEN staff_id IS NULL
    ELSE false
END);

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
    WHEN 'redemption'::text THEN (current_setting('app.role'::text) = ANY (ARRAY['pit_boss'::text, 'admin'::text])) OR current_setting('app.role'::text) = 'cashier'::text AND balance_after >= 0
    WHEN 'adjustment'::text THEN current_setting('app.role'::text) = 'admin'::text
    WHEN 'reversal'::text THEN current_setting('app.role'::text) = 'admin'::text
    ELSE false
END);

CREATE POLICY own_casino ON loyalty.loyalty_program
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

CREATE POLICY role_sets_terms ON loyalty.loyalty_program
    AS RESTRICTIVE FOR INSERT TO PUBLIC
    WITH CHECK (current_setting('app.role'::text) = 'admin'::text AND created_by_staff_id = current_setting('app.staff_id'::text)::uuid);

CREATE POLICY own_casino ON loyalty.player_loyalty
    AS PERMISSIVE FOR ALL TO PUBLIC
    USING (casino_id = current_setting('app.casino_id'::text)::uuid);

CREATE POLICY role_moves_balance ON loyalty.player_loyalty
    AS RESTRICTIVE FOR UPDATE TO PUBLIC
    USING (true)
    WITH CHECK (current_setting('app.role'::text) = ANY (ARRAY['cashier'::text, 'pit_boss'::text, 'admin'::text, 'service'::text]));

CREATE POLICY role_opens_balance ON loyalty.player_loyalty
    AS RESTRICTIVE FOR INSERT TO PUBLIC
    WITH CHECK (current_setting('app.role'::text) = ANY (ARRAY['cashier'::text, 'pit_boss'::text, 'admin'::text, 'service'::text]));

-- Grants, beside what the owner may

GRANT USAGE ON SCHEMA loyalty TO loyalty_service;
GRANT USAGE ON TYPE loyalty.chain_break TO PUBLIC;
GRANT USAGE ON TYPE loyalty.program_tier TO PUBLIC;
GRANT INSERT, SELECT, UPDATE ON TABLE loyalty.drift_schedule TO loyalty_service;
GRANT INSERT, SELECT ON TABLE loyalty.loyalty_audit TO loyalty_service;
GRANT INSERT, SELECT ON TABLE loyalty.loyalty_ledger TO loyalty_service;
GRANT INSERT, SELECT ON TABLE loyalty.loyalty_program TO loyalty_service;
GRANT INSERT, SELECT, UPDATE ON TABLE loyalty.player_loyalty TO loyalty_service;
GRANT SELECT ON TABLE loyalty.schema_migration TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.accrual_inputs(numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone,loyalty.loyalty_program,numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.accrual_inputs(numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone,loyalty.loyalty_program,numeric) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.accrue_points_from_slip(uuid,uuid,text,text,text,text,bytea,uuid,uuid,uuid,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.accrue_points_from_slip(uuid,uuid,text,text,text,text,bytea,uuid,uuid,uuid,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.append_entry(loyalty.player_loyalty,loyalty.loyalty_ledger,bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.append_entry(loyalty.player_loyalty,loyalty.loyalty_ledger,bigint) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.apply_promotion(uuid,uuid,text,text,text,text,bytea,uuid,uuid,text,uuid,bigint,numeric,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.apply_promotion(uuid,uuid,text,text,text,text,bytea,uuid,uuid,text,uuid,bigint,numeric,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.chain_anchor(uuid,uuid,bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.chain_anchor(uuid,uuid,bigint) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.chain_end_fault(bigint,loyalty.player_loyalty,loyalty.loyalty_ledger) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.chain_end_fault(bigint,loyalty.player_loyalty,loyalty.loyalty_ledger) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.check_balance_drift(uuid,uuid,text,text,uuid,uuid,integer,integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.check_balance_drift(uuid,uuid,text,text,uuid,uuid,integer,integer) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.check_spending(loyalty.player_loyalty,bigint,boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.check_spending(loyalty.player_loyalty,bigint,boolean) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.claim_account(uuid,uuid,loyalty.loyalty_ledger) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.claim_account(uuid,uuid,loyalty.loyalty_ledger) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.claim_drift_check(uuid,uuid,text,text,uuid,interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.claim_drift_check(uuid,uuid,text,text,uuid,interval) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.compare_balances(uuid,uuid,uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.compare_balances(uuid,uuid,uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.create_player(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.create_player(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.default_program(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.default_program(uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.draft_entry(text,uuid,text,text,text,bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.draft_entry(text,uuid,text,text,text,bytea) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.drift_batch_end(uuid,uuid,integer,integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.drift_batch_end(uuid,uuid,integer,integer) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.drift_severity(boolean,numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.drift_severity(boolean,numeric) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.enrol_casino(uuid,uuid,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.enrol_casino(uuid,uuid,text,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.entry_hash(loyalty.loyalty_ledger) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.entry_hash(loyalty.loyalty_ledger) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.find_entry(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.find_entry(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.find_original(uuid,loyalty.loyalty_ledger) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.find_original(uuid,loyalty.loyalty_ledger) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.find_promotion(uuid,text,uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.find_promotion(uuid,text,uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.find_reversal(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.find_reversal(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.find_slip_entry(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.find_slip_entry(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.finish_drift_check(uuid,uuid,text,text,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.finish_drift_check(uuid,uuid,text,text,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.first_hash() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.first_hash() TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.gaming_day(loyalty.loyalty_program,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.gaming_day(loyalty.loyalty_program,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.get_loyalty_program(uuid,uuid,text,text,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.get_loyalty_program(uuid,uuid,text,text,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.get_player_loyalty(uuid,uuid,text,text,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.get_player_loyalty(uuid,uuid,text,text,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.is_joined(loyalty.loyalty_ledger,loyalty.loyalty_ledger) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.is_joined(loyalty.loyalty_ledger,loyalty.loyalty_ledger) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.is_vouched_for(bytea,loyalty.loyalty_ledger) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.is_vouched_for(bytea,loyalty.loyalty_ledger) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.issue_manual_reward(uuid,uuid,text,text,text,text,bytea,uuid,bigint,text,uuid,uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.issue_manual_reward(uuid,uuid,text,text,text,text,bytea,uuid,bigint,text,uuid,uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.last_tier(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.last_tier(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.ledger_tier(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.ledger_tier(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.list_due_drift_checks(uuid,uuid,text,text,integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.list_due_drift_checks(uuid,uuid,text,text,integer) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.list_ledger_entries(uuid,uuid,text,text,integer,bigint,timestamp with time zone,uuid,uuid,text,uuid,uuid,uuid,uuid,text,timestamp with time zone,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.list_ledger_entries(uuid,uuid,text,text,integer,bigint,timestamp with time zone,uuid,uuid,text,uuid,uuid,uuid,uuid,text,timestamp with time zone,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.locate_break(bytea,loyalty.loyalty_ledger,loyalty.loyalty_ledger,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.locate_break(bytea,loyalty.loyalty_ledger,loyalty.loyalty_ledger,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.lock_player(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.lock_player(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.manual_reward_key(uuid,uuid,uuid,bigint,text,uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.manual_reward_key(uuid,uuid,uuid,bigint,text,uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.newest_program(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.newest_program(uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.next_drift_time(loyalty.loyalty_program,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.next_drift_time(loyalty.loyalty_program,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.next_player(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.next_player(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.points_for_play(numeric,numeric,integer,bigint,numeric,numeric,numeric,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.points_for_play(numeric,numeric,integer,bigint,numeric,numeric,numeric,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.present() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.present() TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.price_play(uuid,bigint,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.price_play(uuid,bigint,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.price_promotion(uuid,uuid,uuid,bigint,numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.price_promotion(uuid,uuid,uuid,bigint,numeric) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.program_in_force(uuid,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.program_in_force(uuid,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.reconcile_balance(uuid,uuid,text,text,uuid,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.reconcile_balance(uuid,uuid,text,text,uuid,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.redeem_points(uuid,uuid,text,text,text,text,bytea,uuid,bigint,text,boolean,uuid,uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.redeem_points(uuid,uuid,text,text,text,text,bytea,uuid,bigint,text,boolean,uuid,uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.refuse_broken_ledger(uuid,uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.refuse_broken_ledger(uuid,uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.refuse_drifted_balance(loyalty.player_loyalty) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.refuse_drifted_balance(loyalty.player_loyalty) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.refuse_early_program(loyalty.loyalty_program,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.refuse_early_program(loyalty.loyalty_program,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.refuse_irreversible(uuid,loyalty.loyalty_ledger) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.refuse_irreversible(uuid,loyalty.loyalty_ledger) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.refuse_stale_base(integer,integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.refuse_stale_base(integer,integer) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.refuse_unknown_player(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.refuse_unknown_player(uuid) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.refuse_unknown_time_zone(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.refuse_unknown_time_zone(text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.repair_balance(boolean,loyalty.player_loyalty) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.repair_balance(boolean,loyalty.player_loyalty) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.reverse_entry(uuid,uuid,text,text,text,text,bytea,uuid,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.reverse_entry(uuid,uuid,text,text,text,text,bytea,uuid,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.rounded(numeric,numeric,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.rounded(numeric,numeric,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.set_context(uuid,uuid,text,text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.set_context(uuid,uuid,text,text) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.standing_of(loyalty.player_loyalty) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.standing_of(loyalty.player_loyalty) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.suggest_points(uuid,uuid,text,text,uuid,uuid,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.suggest_points(uuid,uuid,text,text,uuid,uuid,numeric,text,numeric,integer,numeric,bigint,timestamp with time zone,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.tier_standing(loyalty.program_tier[],bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.tier_standing(loyalty.program_tier[],bigint) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.update_loyalty_program(uuid,uuid,text,text,integer,numeric,text,loyalty.program_tier[],bigint,text,time without time zone,timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.update_loyalty_program(uuid,uuid,text,text,integer,numeric,text,loyalty.program_tier[],bigint,text,time without time zone,timestamp with time zone) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.verify_ledger(uuid,uuid,text,text,uuid,uuid,bigint,bigint,integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.verify_ledger(uuid,uuid,text,text,uuid,uuid,bigint,bigint,integer) TO loyalty_service;
REVOKE ALL ON FUNCTION loyalty.verify_player(uuid,uuid,bigint,bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION loyalty.verify_player(uuid,uuid,bigint,bigint) TO loyalty_service;
