{# One row is one station on one local day: how it was connected. #}
with days as (
    select * from {{ ref('int_station_day') }}
),

call_results as (
    select * from {{ ref('int_ocpp_call_results') }}
),

watch as (
    select * from {{ ref('int_station_watch') }}
),

connectivity as (
    select * from {{ ref('int_source_connectivity') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

-- the interval granted last on each day, carried to the days after
grants as (
    select
        call_results.station_id,
        {{ local_date('call_results.called_at', 'coalesce(stations.time_zone, ' ~ default_time_zone() ~ ')') }} as local_date,
        max_by(call_results.result_interval_s, call_results.called_at) as interval_s
    from call_results
    left join stations on call_results.station_id = stations.station_id
    where
        call_results.action = 'BootNotification'
        and call_results.result_status = 'Accepted'
        and call_results.result_interval_s is not null
    group by 1, 2
),

granted as (
    select
        days.*,
        {{ last_known('grants.interval_s', 'partition by days.station_id order by days.local_date') }}
            as granted_interval_s
    from days
    left join grants on days.station_id = grants.station_id and days.local_date = grants.local_date
)

select
    granted.station_id,
    coalesce(stations.site_id, 'unmapped') as site_id,
    coalesce(stations.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    granted.local_date,
    watch.log_source,
    granted.frame_count,
    granted.frame_from_station_count,
    granted.heartbeat_count,
    granted.boot_count,
    granted.error_count,
    granted.connect_count,
    granted.disconnect_count,
    granted.flap_count,
    granted.ping_count,
    cast(granted.granted_interval_s as bigint) as granted_interval_s,
    granted.longest_silence_s,
    granted.offline_s,
    granted.unknown_s,
    coalesce(connectivity.is_connectivity_measurable, true) as is_connectivity_measurable
from granted
left join watch on granted.station_id = watch.station_id
left join connectivity on watch.log_source = connectivity.log_source
left join stations on granted.station_id = stations.station_id
left join sites on stations.site_id = sites.site_id
