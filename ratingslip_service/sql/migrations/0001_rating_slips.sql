-- The slips, and everything that ever happened to them.
--
-- Rules every table keeps, so that the schema can be spread by casino: each key,
-- unique index and foreign key begins with casino_id, foreign keys stand inline,
-- and nothing depends on a trigger.

-- One slip: who played where at what stakes, how long, and where its points are.
CREATE TABLE ratingslip.rating_slip (
    casino_id                      uuid         NOT NULL,
    id                             uuid         NOT NULL DEFAULT gen_random_uuid(),
    player_id                      uuid         NOT NULL,
    visit_id                       uuid         NOT NULL,
    table_id                       uuid         NOT NULL,
    seat_number                    integer      NOT NULL,
    event_count                    integer      NOT NULL,
    created_time                   timestamptz  NOT NULL,
    updated_time                   timestamptz  NOT NULL,

    -- The play. played_seconds holds the finished stretches; while the slip is open
    -- the one that runs since running_since comes on top.
    status                         text         NOT NULL,
    start_time                     timestamptz  NOT NULL,
    last_event_time                timestamptz  NOT NULL,
    running_since                  timestamptz,
    end_time                       timestamptz,
    played_seconds                 numeric      NOT NULL,
    duration_seconds               bigint,
    currency_code                  text         NOT NULL,
    average_bet                    numeric      NOT NULL,
    chips_taken                    numeric,

    -- The game's settings as they stood when the slip was opened.
    game_name                      text         NOT NULL,
    house_edge_percent             numeric      NOT NULL,
    decisions_per_hour             integer      NOT NULL,
    point_multiplier               numeric      NOT NULL,

    -- Who, and under which call; close_trace_parent lets a recovery link to the close.
    started_by_staff_id            uuid         NOT NULL,
    closed_by_staff_id             uuid,
    close_correlation_id           text,
    close_trace_parent             text,

    -- What Loyalty answered.
    loyalty_state                  text         NOT NULL,
    loyalty_entry_id               uuid,
    loyalty_points_delta           bigint,
    loyalty_balance_after          bigint,
    loyalty_lifetime_points        bigint,
    loyalty_tier_before            text,
    loyalty_tier_after             text,
    loyalty_tier_progress_percent  integer,
    loyalty_refusal_reason         text,

    PRIMARY KEY (casino_id, id),
    CHECK (seat_number BETWEEN 1 AND 99),
    CHECK (average_bet >= 0 AND chips_taken >= 0),
    CHECK (played_seconds >= 0 AND duration_seconds >= 0),
    CHECK (status IN ('OPEN', 'PAUSED', 'CLOSED')),
    CHECK (loyalty_state IN ('NONE', 'PENDING', 'ACCRUED', 'REFUSED')),
    CHECK ((status = 'OPEN') = (running_since IS NOT NULL)),
    CHECK ((status = 'CLOSED') = (end_time IS NOT NULL)),
    CHECK ((status = 'CLOSED') = (duration_seconds IS NOT NULL)),
    CHECK ((status = 'CLOSED') = (closed_by_staff_id IS NOT NULL)),
    CHECK ((status = 'CLOSED') = (loyalty_state <> 'NONE')),
    CHECK ((loyalty_state = 'ACCRUED') = (loyalty_entry_id IS NOT NULL)),
    CHECK ((loyalty_state = 'REFUSED') = (loyalty_refusal_reason IS NOT NULL))
);

-- One active slip per visit, and one per seat.
CREATE UNIQUE INDEX rating_slip_active_visit
    ON ratingslip.rating_slip (casino_id, visit_id)
    WHERE status <> 'CLOSED';
CREATE UNIQUE INDEX rating_slip_active_seat
    ON ratingslip.rating_slip (casino_id, table_id, seat_number)
    WHERE status <> 'CLOSED';

-- Paging a casino, a player and a table; and the closed slips without points.
CREATE INDEX rating_slip_by_time
    ON ratingslip.rating_slip (casino_id, created_time, id);
CREATE INDEX rating_slip_by_player
    ON ratingslip.rating_slip (casino_id, player_id, created_time, id);
CREATE INDEX rating_slip_by_table
    ON ratingslip.rating_slip (casino_id, table_id, created_time, id);
CREATE INDEX rating_slip_without_points
    ON ratingslip.rating_slip (casino_id, loyalty_state, created_time, id)
    WHERE loyalty_state IN ('PENDING', 'REFUSED');

-- What happened to a slip, in order. Insert and read only.
CREATE TABLE ratingslip.rating_slip_event (
    casino_id        uuid         NOT NULL,
    rating_slip_id   uuid         NOT NULL,
    event_number     integer      NOT NULL,
    event_time       timestamptz  NOT NULL,
    recorded_time    timestamptz  NOT NULL,
    staff_id         uuid         NOT NULL,
    kind             text         NOT NULL,
    correlation_id   text         NOT NULL,
    idempotency_key  text,
    fingerprint      bytea,
    average_bet      numeric      NOT NULL,
    PRIMARY KEY (casino_id, rating_slip_id, event_number),
    FOREIGN KEY (casino_id, rating_slip_id) REFERENCES ratingslip.rating_slip (casino_id, id),
    CHECK (event_number >= 1),
    CHECK (
        kind IN ('start', 'pause', 'resume', 'update_average_bet', 'complete', 'accrue', 'refuse')
    ),
    CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
);
CREATE UNIQUE INDEX rating_slip_event_key
    ON ratingslip.rating_slip_event (casino_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
