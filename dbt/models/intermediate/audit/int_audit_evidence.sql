{# One row is one CDR with everything that the checks of the defect catalogue compare, each worked out once. #}
{% set next_month = "cast(date_trunc('month', local_date) + interval '1' month as date)" %}
{% set far_past = instant("'2009-01-01 00:00:00+00:00'") %}
with cdrs as (
    select
        *,
        {{ ocpi_party() }} as party,
        {{ ocpi_key(['lower(location_id)']) }} as location_key
    from {{ ref('stg_ocpi__cdrs') }}
),

placed as (
    select * from {{ ref('int_cdrs') }}
),

delivered as (
    select
        *,
        {{ ocpi_key(['lower(cdr_id)']) }} as cdr_key
    from {{ source('ocpi', 'cdr') }}
    where lower(cdr_id) in (select lower(cdrs.cdr_id) from cdrs where cdrs.version_count > 1)
),

dimensions as (
    select * from {{ ref('stg_ocpi__cdr_dimensions') }}
),

cdr_sessions as (
    select * from {{ ref('int_cdr_sessions') }}
),

logged as (
    select * from {{ ref('fct_session') }}
),

sessions as (
    select
        *,
        {{ ocpi_party() }} as party
    from {{ ref('stg_ocpi__sessions') }}
),

locations as (
    select * from {{ ref('stg_ocpi__locations') }}
),

connectors as (
    select * from {{ ref('stg_ocpi__connectors') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

country_currencies as (
    select * from {{ ref('country_currencies') }}
),

landed as (
    select * from {{ source('meta', 'landed_file') }}
),

defects as (
    select * from {{ ref('cdr_defects') }}
),

-- Thresholds are data: one row of them, joined to every CDR.
limits as (
    select
        max(case when defect_id = 'future' then threshold end) as future,
        max(case when defect_id = 'total_time_mismatch' then threshold end) as total_time_mismatch,
        max(case when defect_id = 'period_outside_session' then threshold end) as period_outside_session,
        max(case when defect_id = 'overlap_same_connector' then threshold end) as overlap_same_connector,
        max(case when defect_id = 'overlap_same_token_far_apart' then threshold end) as overlap_same_token_far_apart,
        max(case when defect_id = 'session_too_long' then threshold end) as session_too_long,
        max(case when defect_id = 'local_time_sent_as_utc' then threshold end) as local_time_sent_as_utc,
        max(case when defect_id = 'energy_sum_mismatch' then threshold end) as energy_sum_mismatch,
        max(case when defect_id = 'implied_power' then threshold end) as implied_power,
        max(case when defect_id = 'late_24_h' then threshold end) as late_24_h,
        max(case when defect_id = 'late_7_d' then threshold end) as late_7_d,
        max(case when defect_id = 'late_31_d' then threshold end) as late_31_d
    from defects
),

arrived as (
    select
        source_id,
        min(first_seen_at) as received_at
    from landed
    group by source_id
),

periods as (
    select
        cdr_key,
        min(period_started_at) as first_period_at,
        max(period_started_at) as last_period_at,
        sum(case when dimension = 'ENERGY' then volume end) as period_energy_kwh,
        sum(case when dimension = 'TIME' then volume end) as period_time_h,
        max(case when dimension = 'RESERVATION_TIME' and volume <> 0 then 1 else 0 end) = 1 as has_reservation
    from dimensions
    group by cdr_key
),

first_versions as (
    select
        cdr_key,
        min_by(total_cost_net, concat_ws(' ', cast(last_updated_at as varchar), record_hash)) as first_net
    from delivered
    group by cdr_key
),

credit_counts as (
    select
        party,
        lower(credit_reference_id) as cdr_id_key,
        count(*) as credit_count
    from cdrs
    where is_credit and credit_reference_id is not null
    group by party, lower(credit_reference_id)
),

-- Connectors as offered: volts x amperes where no power is given; a power below 1,000 "W" was sent in kW.
connector_powers as (
    select
        location_key,
        lower(evse_uid) as evse_key,
        lower(connector_id) as connector_key,
        min(evse_id) as evse_id,
        max(case
            when max_electric_power_w >= 1000 then max_electric_power_w / 1000
            when max_electric_power_w > 0 then max_electric_power_w
            when power_type = 'AC_3_PHASE' and max_voltage_v > 300 then max_voltage_v * max_amperage_a * 1.7321 / 1000
            when power_type = 'AC_3_PHASE' then max_voltage_v * max_amperage_a * 3 / 1000
            when power_type like 'AC_2_PHASE%' then max_voltage_v * max_amperage_a * 2 / 1000
            else max_voltage_v * max_amperage_a / 1000
        end) as max_power_kw
    from connectors
    where evse_uid is not null
    group by location_key, lower(evse_uid), lower(connector_id)
),

evses as (
    select
        location_key,
        evse_key,
        min(evse_id) as evse_id,
        max(max_power_kw) as max_power_kw
    from connector_powers
    group by location_key, evse_key
),

session_parties as (
    select
        party,
        min(started_at) as first_session_at
    from sessions
    group by party
),

tenders as (
    select distinct country
    from country_currencies
),

joined as (
    select
        cdrs.cdr_key,
        cdrs.party,
        cdrs.location_key,
        lower(cdrs.evse_uid) as evse_key,
        coalesce(cdrs.is_credit, false) as is_credit,
        placed.is_counted,
        cdrs.token_hash,
        upper(cdrs.token_type) as token_type,
        cdrs.started_at,
        cdrs.ended_at,
        cdrs.last_updated_at,
        cdrs.ocpi_session_id,
        cdr_sessions.session_id,
        logged.started_at as logged_started_at,
        logged.energy_kwh as logged_energy_kwh,
        cdrs.delivery_count,
        cdrs.version_count,
        first_versions.first_net,
        cdrs.total_cost_net,
        cdrs.total_cost_gross,
        cdrs.total_energy_kwh,
        cdrs.total_time_h,
        cdrs.total_parking_time_h,
        coalesce(credit_counts.credit_count, 0) as credit_count,
        periods.first_period_at,
        periods.last_period_at,
        periods.period_energy_kwh,
        periods.period_time_h,
        coalesce(periods.has_reservation, false)
        or coalesce(cdrs.total_reservation_cost_net, 0) <> 0 as has_reservation,
        placed.time_zone,
        placed.local_date,
        arrived.received_at,
        coalesce(connector_powers.max_power_kw, evses.max_power_kw, ports.max_power_kw) as max_power_kw,
        cdrs.evse_id,
        coalesce(connector_powers.evse_id, evses.evse_id) as offered_evse_id,
        locations.location_key is not null or placed.is_site_registered as is_location_known,
        cdrs.location_id,
        cdrs.location_country,
        tenders.country is not null and country_currencies.currency is null as is_currency_foreign,
        placed.owner_id,
        upper(sessions.status) as ocpi_session_status,
        session_parties.first_session_at is not null
        and cdrs.started_at >= session_parties.first_session_at
        and cdrs.ocpi_session_id is not null
        and sessions.session_key is null as is_ocpi_session_unknown,
        locations.latitude,
        locations.longitude,
        {{ seconds_between('cdrs.started_at', 'cdrs.ended_at') }} as span_s,
        {{ seconds_between('cdrs.ended_at', 'cdrs.last_updated_at') }} as latency_s
    from cdrs
    inner join placed on cdrs.cdr_key = placed.cdr_key
    left join first_versions on cdrs.cdr_key = first_versions.cdr_key
    left join credit_counts on cdrs.party = credit_counts.party and lower(cdrs.cdr_id) = credit_counts.cdr_id_key
    left join periods on cdrs.cdr_key = periods.cdr_key
    left join cdr_sessions on cdrs.cdr_key = cdr_sessions.cdr_key
    left join logged on cdr_sessions.session_id = logged.session_id
    left join arrived on cdrs.source_id = arrived.source_id
    left join locations on cdrs.location_key = locations.location_key
    left join connector_powers
        on
            cdrs.location_key = connector_powers.location_key
            and lower(cdrs.evse_uid) = connector_powers.evse_key
            and lower(cdrs.connector_id) = connector_powers.connector_key
    left join evses on cdrs.location_key = evses.location_key and lower(cdrs.evse_uid) = evses.evse_key
    left join ports on placed.port_id = ports.port_id
    left join tenders on upper(cdrs.location_country) = tenders.country
    left join country_currencies
        on
            upper(cdrs.location_country) = country_currencies.country
            and upper(cdrs.currency) = country_currencies.currency
    left join sessions
        on cdrs.party = sessions.party and lower(cdrs.ocpi_session_id) = lower(sessions.ocpi_session_id)
    left join session_parties on cdrs.party = session_parties.party
),

-- The CDR that was made first bills the session; others of the same session bill it again.
counted as (
    select
        joined.*,
        case
            when joined.is_counted and joined.ocpi_session_id is not null then row_number() over (
                partition by joined.is_counted, joined.party, lower(joined.ocpi_session_id)
                order by joined.last_updated_at, joined.cdr_key
            )
        end as session_copy_number,
        case
            when joined.is_counted and joined.session_id is not null then row_number() over (
                partition by joined.is_counted, joined.session_id
                order by joined.last_updated_at, joined.cdr_key
            )
        end as logged_copy_number
    from joined
),

charges as (
    select
        *,
        -- Only charges that can be true take part in overlaps, and each session once.
        is_counted
        and coalesce(session_copy_number, 1) = 1
        and coalesce(logged_copy_number, 1) = 1
        and span_s > 0
        and span_s < 31 * 86400 as is_charge
    from counted
),

at_connector as (
    select
        cdr_key,
        max(ended_at) over (
            partition by location_key, evse_key
            order by started_at, cdr_key
            rows between unbounded preceding and 1 preceding
        ) as connector_busy_until
    from charges
    where is_charge and location_id is not null and evse_key is not null
),

of_token as (
    select
        cdr_key,
        location_key,
        latitude,
        longitude,
        started_at,
        max(ended_at) over earlier as token_busy_until,
        max_by(location_key, ended_at) over earlier as busy_location_key
    from charges
    where is_charge and token_hash is not null and token_type in ('RFID', 'EMAID')
    window earlier as (
        partition by token_hash
        order by started_at, cdr_key
        rows between unbounded preceding and 1 preceding
    )
),

-- Great-circle distance; the earth's radius is 6,371 km.
far_apart as (
    select
        of_token.cdr_key,
        2 * 6371 * asin(sqrt(
            power(sin(radians(elsewhere.latitude - of_token.latitude) / 2), 2)
            + cos(radians(elsewhere.latitude))
            * cos(radians(of_token.latitude))
            * power(sin(radians(elsewhere.longitude - of_token.longitude) / 2), 2)
        )) as distance_km
    from of_token
    inner join locations as elsewhere on of_token.busy_location_key = elsewhere.location_key
    where
        of_token.token_busy_until > of_token.started_at
        and of_token.busy_location_key <> of_token.location_key
),

measured as (
    select
        charges.*,
        limits.*,
        case
            when at_connector.connector_busy_until > charges.started_at
                then least(
                    {{ seconds_between('charges.started_at', 'at_connector.connector_busy_until') }}, charges.span_s
                )
        end as overlap_s,
        far_apart.distance_km,
        {{ seconds_between('charges.logged_started_at', 'charges.started_at') }} as start_difference_s,
        charges.total_time_h * 3600 / nullif(charges.span_s, 0) as time_factor,
        case
            when charges.logged_energy_kwh > 0 then charges.total_energy_kwh / charges.logged_energy_kwh
        end as energy_factor,
        -- Hours of charging: without parking where that is told; at least a minute, shorter ones say nothing of power.
        greatest(
            coalesce(
                case
                    when charges.total_time_h > coalesce(charges.total_parking_time_h, 0)
                        then charges.total_time_h - coalesce(charges.total_parking_time_h, 0)
                end,
                case when charges.span_s > 0 then charges.span_s / 3600.0 end
            ),
            1 / 60.0
        ) as charging_h
    from charges
    cross join limits
    left join at_connector on charges.cdr_key = at_connector.cdr_key
    left join far_apart on charges.cdr_key = far_apart.cdr_key
),

powered as (
    select
        *,
        total_energy_kwh / charging_h / nullif(max_power_kw, 0) as power_ratio
    from measured
),

suspected as (
    select
        *,
        coalesce(
            energy_factor between 950 and 1050
            or energy_factor is null
            and total_energy_kwh > 100
            and power_ratio > 20
            and power_ratio / 1000 <= implied_power,
            false
        ) as is_wh,
        coalesce(time_factor between 59.4 and 60.6, false) as is_minutes,
        coalesce(time_factor between 3564 and 3636, false) as is_seconds
    from powered
)

select
    cdr_key,
    is_credit,
    is_counted,
    session_id,
    delivery_count,
    version_count,
    first_net,
    credit_count,
    coalesce(session_copy_number, 1) > 1 or coalesce(logged_copy_number, 1) > 1 as is_session_billed_before,
    span_s,
    latency_s,
    received_at,
    greatest(started_at, ended_at)
    > coalesce(received_at, last_updated_at) + cast(future as bigint) * interval '1' second as is_future,
    started_at < {{ far_past }} or ended_at < {{ far_past }} as is_before_2009,
    case
        when
            span_s >= 0
            and not is_minutes
            and not is_seconds
            and abs(total_time_h - span_s / 3600.0) > total_time_mismatch
            then total_time_h - span_s / 3600.0
    end as time_off_h,
    first_period_at < started_at - cast(period_outside_session as bigint) * interval '1' second
    or last_period_at > ended_at + cast(period_outside_session as bigint) * interval '1' second as is_period_outside,
    first_period_at,
    last_period_at,
    case when overlap_s > overlap_same_connector then overlap_s end as overlap_s,
    case when distance_km > overlap_same_token_far_apart then distance_km end as distance_km,
    case when span_s > session_too_long * 86400 then span_s end as too_long_s,
    case
        when
            abs(start_difference_s) > local_time_sent_as_utc
            and abs(start_difference_s - {{ utc_offset_seconds('logged_started_at', 'time_zone') }}) <= local_time_sent_as_utc
            then start_difference_s
    end as zone_shift_s,
    total_energy_kwh,
    total_time_h,
    period_energy_kwh,
    case
        when not is_credit and abs(period_energy_kwh - total_energy_kwh) > energy_sum_mismatch
            then total_energy_kwh - period_energy_kwh
    end as energy_off_kwh,
    not is_credit and total_energy_kwh < 0 and not {{ env_var('CHARGEHOUSE_ALLOW_V2G', 'false') }} as is_energy_negative,
    not is_credit and total_energy_kwh = 0 and total_cost_net > 0 and not has_reservation as is_cost_without_energy,
    is_wh,
    is_minutes,
    is_seconds,
    case
        when not is_credit and not is_wh and not is_minutes and not is_seconds and power_ratio > implied_power
            then total_energy_kwh / charging_h
    end as implied_power_kw,
    max_power_kw,
    logged_energy_kwh,
    case
        when latency_s > late_31_d * 86400 then 'late_31_d'
        when latency_s > late_7_d * 86400 then 'late_7_d'
        when latency_s > late_24_h * 3600 then 'late_24_h'
    end as late_defect_id,
    -- Statements close some days after their month. The clock of a zone is asked only for CDRs that can be late: it takes
    -- time.
    coalesce(case
        when latency_s > {{ close_after_days() }} * 86400
            then last_updated_at >= {{ local_midnight(next_month, 'time_zone') }} + {{ close_after_days() }} * interval '1' day
    end, false) as is_after_statement,
    is_ocpi_session_unknown,
    coalesce(ocpi_session_status = 'INVALID', false) as is_session_invalid,
    location_id is not null and not is_location_known as is_location_unknown,
    owner_id = 'unmapped' as is_owner_unmapped,
    coalesce(
        upper(replace(evse_id, '*', '')) <> upper(replace(offered_evse_id, '*', '')), false
    ) as is_evse_id_changed,
    evse_id,
    offered_evse_id,
    coalesce(is_currency_foreign, false) as is_currency_foreign,
    location_country,
    location_id,
    ocpi_session_id
from suspected
