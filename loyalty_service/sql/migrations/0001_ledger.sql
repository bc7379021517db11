-- The ledger, the standing it sums up to, the programs that price it, and the
-- audit trail beside it.
--
-- Rules every table keeps, so that the schema can be spread by casino: each key,
-- unique index and foreign key begins with casino_id, foreign keys stand inline,
-- and nothing depends on a trigger.

-- One step of a program's ladder.
CREATE TYPE loyalty.program_tier AS (
    name            text,
    lifetime_start  bigint,
    multiplier      numeric
);

-- The terms of a casino, one row for each version. A slip is paid by the version
-- in force when its play began; a casino without a row has the default program.
CREATE TABLE loyalty.loyalty_program (
    casino_id             uuid         NOT NULL,
    version               integer      NOT NULL,
    effective_time        timestamptz  NOT NULL,
    points_per_unit       numeric      NOT NULL,
    rounding              text         NOT NULL,
    tiers                 loyalty.program_tier[] NOT NULL,
    overdraw_floor        bigint       NOT NULL,
    time_zone             text         NOT NULL,
    gaming_day_start      time         NOT NULL,
    created_time          timestamptz  NOT NULL,
    created_by_staff_id   uuid         NOT NULL,
    PRIMARY KEY (casino_id, version),
    UNIQUE (casino_id, effective_time),
    CHECK (version >= 1),
    CHECK (points_per_unit >= 0 AND points_per_unit <= 100000),
    CHECK (rounding IN ('floor', 'nearest', 'ceil')),
    CHECK (cardinality(tiers) BETWEEN 1 AND 20),
    CHECK (overdraw_floor <= 0)
);

-- What each player has: a cache of the ledger's sum, and the row that is locked
-- while an entry is written.
CREATE TABLE loyalty.player_loyalty (
    casino_id        uuid         NOT NULL,
    player_id        uuid         NOT NULL,
    current_balance  bigint       NOT NULL,
    lifetime_points  bigint       NOT NULL,
    entry_count      bigint       NOT NULL,
    created_time     timestamptz  NOT NULL,
    updated_time     timestamptz  NOT NULL,
    tier             text         NOT NULL,
    PRIMARY KEY (casino_id, player_id),
    CHECK (entry_count >= 0)
);

-- Every movement of points, for ever. The service can insert and read, nothing else.
CREATE TABLE loyalty.loyalty_ledger (
    casino_id              uuid         NOT NULL,
    id                     uuid         NOT NULL DEFAULT gen_random_uuid(),
    player_id              uuid         NOT NULL,
    entry_number           bigint       NOT NULL,
    points_delta           bigint       NOT NULL,
    balance_before         bigint       NOT NULL,
    balance_after          bigint       NOT NULL,
    lifetime_before        bigint       NOT NULL,
    lifetime_after         bigint       NOT NULL,
    recorded_time          timestamptz  NOT NULL,
    effective_time         timestamptz  NOT NULL,
    gaming_day             date         NOT NULL,
    tier_progress_percent  integer      NOT NULL,
    source_id              uuid         NOT NULL,
    staff_id               uuid         NOT NULL,
    rating_slip_id         uuid,
    visit_id               uuid,
    campaign_id            uuid,
    reversed_entry_id      uuid,
    reason                 text         NOT NULL,
    source_kind            text         NOT NULL,
    tier_before            text         NOT NULL,
    tier_after             text         NOT NULL,
    acting_service         text,
    correlation_id         text         NOT NULL,
    idempotency_key        text         NOT NULL,
    fingerprint            bytea        NOT NULL,
    note                   text         NOT NULL DEFAULT '',
    metadata               jsonb        NOT NULL DEFAULT '{}',
    PRIMARY KEY (casino_id, id),
    UNIQUE (casino_id, player_id, entry_number),
    UNIQUE (casino_id, idempotency_key),
    FOREIGN KEY (casino_id, player_id) REFERENCES loyalty.player_loyalty (casino_id, player_id),
    FOREIGN KEY (casino_id, reversed_entry_id) REFERENCES loyalty.loyalty_ledger (casino_id, id),
    CHECK (entry_number >= 1),
    CHECK (balance_after = balance_before + points_delta),
    CHECK (octet_length(fingerprint) = 32),
    CHECK (tier_progress_percent BETWEEN 0 AND 100),
    -- The one list of reasons, each with the sign of its points.
    CHECK (
        CASE reason
            WHEN 'base_accrual'  THEN points_delta >= 0
            WHEN 'promotion'     THEN points_delta > 0
            WHEN 'manual_reward' THEN points_delta > 0
            WHEN 'adjustment'    THEN points_delta <> 0
            WHEN 'redemption'    THEN points_delta < 0
            WHEN 'reversal'      THEN reversed_entry_id IS NOT NULL
            ELSE false
        END
    ),
    -- What is earned counts for the tier; what is spent or corrected does not.
    CHECK (
        CASE
            WHEN reason IN ('base_accrual', 'promotion', 'manual_reward')
                THEN lifetime_after = lifetime_before + points_delta
            WHEN reason IN ('redemption', 'adjustment')
                THEN lifetime_after = lifetime_before
            ELSE true
        END
    )
);

-- The natural keys, which stand above the idempotency key.
CREATE UNIQUE INDEX loyalty_ledger_accrues_once
    ON loyalty.loyalty_ledger (casino_id, source_kind, source_id)
    WHERE reason = 'base_accrual';
CREATE UNIQUE INDEX loyalty_ledger_promotes_once
    ON loyalty.loyalty_ledger (casino_id, source_kind, source_id, campaign_id)
    WHERE reason = 'promotion';
CREATE UNIQUE INDEX loyalty_ledger_reverses_once
    ON loyalty.loyalty_ledger (casino_id, reversed_entry_id)
    WHERE reversed_entry_id IS NOT NULL;

-- Paging a casino, and finding what one call, one slip or one person did.
CREATE INDEX loyalty_ledger_by_time
    ON loyalty.loyalty_ledger (casino_id, recorded_time, id);
CREATE INDEX loyalty_ledger_by_correlation
    ON loyalty.loyalty_ledger (casino_id, correlation_id);
CREATE INDEX loyalty_ledger_by_rating_slip
    ON loyalty.loyalty_ledger (casino_id, rating_slip_id)
    WHERE rating_slip_id IS NOT NULL;
CREATE INDEX loyalty_ledger_by_staff
    ON loyalty.loyalty_ledger (casino_id, staff_id, recorded_time, id);

-- Who changed or found what, with before and after. Insert and read only.
CREATE TABLE loyalty.loyalty_audit (
    casino_id       uuid         NOT NULL,
    id              uuid         NOT NULL DEFAULT gen_random_uuid(),
    recorded_time   timestamptz  NOT NULL,
    staff_id        uuid,
    player_id       uuid,
    role            text         NOT NULL,
    action          text         NOT NULL,
    correlation_id  text         NOT NULL,
    before          jsonb,
    after           jsonb,
    PRIMARY KEY (casino_id, id)
);
CREATE INDEX loyalty_audit_by_time
    ON loyalty.loyalty_audit (casino_id, recorded_time, id);
