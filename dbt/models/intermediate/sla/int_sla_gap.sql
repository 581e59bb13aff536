{# One row is one silence of a station, with what it looks like from how it ended. #}
{# A station that lost its mains has to boot, and nothing may precede a boot: power_loss if the boot says PowerUp, or if it
   gives no reason (1.6) and every other station of the site fell silent within ten minutes too; any other boot is a
   reboot. A station that goes on without a boot only lost its connection: telecom. One that is silent to the end of the
   log is station_dead. A silence that runs into a hole of the log ended nobody knows how: no class. #}
with silences as (
    select *
    from {{ ref('int_station_silence') }}
),

stations as (
    select *
    from {{ ref('dim_station') }}
),

watch as (
    select *
    from {{ ref('int_station_watch') }}
),

boots as (
    select *
    from {{ ref('stg_ocpp__boots') }}
),

numbers as (
    {{ numbers_to(3) }}
),

offline as (
    select
        silences.station_id,
        stations.site_id,
        silences.started_at,
        silences.ended_at
    from silences
    inner join stations on silences.station_id = stations.station_id
    where silences.kind = 'offline'
),

-- blocks of time on both sides, so that the joins are on equality
ends as (
    select
        offline.station_id,
        offline.started_at,
        offline.ended_at,
        cast(floor({{ epoch_second('offline.ended_at') }} / 60) as bigint) + later_block.number - 1 as block
    from offline
    cross join numbers as later_block
    where offline.ended_at is not null and later_block.number <= 2
),

-- the connection comes a moment before the boot
ended_by_boot as (
    select
        ends.station_id,
        ends.started_at,
        max(case when boots.reason = 'PowerUp' then 1 else 0 end) as is_power_up,
        max(case when boots.reason is null or boots.reason = 'Unknown' then 1 else 0 end) as is_without_reason
    from ends
    inner join boots
        on
            ends.station_id = boots.station_id
            and ends.block = cast(floor({{ epoch_second('boots.received_at') }} / 60) as bigint)
    where boots.received_at >= ends.ended_at and boots.received_at <= {{ plus_seconds('ends.ended_at', 60) }}
    group by ends.station_id, ends.started_at
),

started as (
    select
        station_id,
        site_id,
        started_at,
        cast(floor({{ epoch_second('started_at') }} / 600) as bigint) as block
    from offline
),

together as (
    select
        started.station_id,
        started.started_at,
        count(distinct others.station_id) as other_count
    from started
    cross join numbers as block_offset
    inner join started as others
        on
            started.site_id = others.site_id
            and started.block + block_offset.number - 2 = others.block
            and started.station_id <> others.station_id
    where
        others.started_at >= {{ plus_seconds('started.started_at', -600) }}
        and others.started_at <= {{ plus_seconds('started.started_at', 600) }}
    group by started.station_id, started.started_at
),

site_stations as (
    select
        stations.site_id,
        count(*) as station_count
    from stations
    inner join watch on stations.station_id = watch.station_id
    where stations.site_id <> 'unmapped'
    group by stations.site_id
),

holes as (
    select
        station_id,
        started_at
    from silences
    where kind = 'hole'
)

select
    offline.station_id,
    offline.started_at,
    offline.ended_at,
    case
        when offline.ended_at is null then 'station_dead'
        when holes.station_id is not null then null
        when ended_by_boot.station_id is null then 'telecom'
        when ended_by_boot.is_power_up = 1 then 'power_loss'
        when
            ended_by_boot.is_without_reason = 1
            and site_stations.station_count > 1
            and coalesce(together.other_count, 0) = site_stations.station_count - 1
            then 'power_loss'
        else 'reboot'
    end as gap_class
from offline
left join holes on offline.station_id = holes.station_id and offline.ended_at = holes.started_at
left join ended_by_boot
    on offline.station_id = ended_by_boot.station_id and offline.started_at = ended_by_boot.started_at
left join together on offline.station_id = together.station_id and offline.started_at = together.started_at
left join site_stations on offline.site_id = site_stations.site_id
