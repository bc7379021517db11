-- Opens a slip.
--
-- Raises RS003 (key), RS007 and RS008 (active slip), RS010 (start ahead), RS011 (start
-- more than 48 hours back). A race for a visit, a seat or a key ends in 23505; the
-- caller then runs it again and gets the right one of these.
CREATE OR REPLACE FUNCTION ratingslip.start_rating_slip(
    p_casino_id           uuid,
    p_staff_id            uuid,
    p_role                text,
    p_correlation_id      text,
    p_idempotency_key     text,
    p_fingerprint         bytea,
    p_player_id           uuid,
    p_visit_id            uuid,
    p_table_id            uuid,
    p_seat_number         integer,
    p_average_bet         numeric,
    p_currency_code       text,
    p_game_name           text,
    p_house_edge_percent  numeric,
    p_decisions_per_hour  integer,
    p_point_multiplier    numeric,
    p_start_time          timestamptz,
    OUT slip              ratingslip.rating_slip,
    OUT play_seconds      bigint,
    OUT is_existing       boolean
)
LANGUAGE plpgsql
AS $$
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
$$;
