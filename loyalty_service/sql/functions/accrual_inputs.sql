-- Every input of an accrual, as decimal strings, so that the entry can be
-- recomputed by hand. `theo` is the theoretical win, rounded down to a hundredth.
CREATE OR REPLACE FUNCTION loyalty.accrual_inputs(
    p_average_bet         numeric,
    p_currency_code       text,
    p_house_edge_percent  numeric,
    p_decisions_per_hour  integer,
    p_point_multiplier    numeric,
    p_duration_seconds    bigint,
    p_start_time          timestamptz,
    p_end_time            timestamptz,
    p_program             loyalty.loyalty_program,
    p_tier_multiplier     numeric
) RETURNS jsonb
LANGUAGE sql
STABLE
AS $$
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
$$;
