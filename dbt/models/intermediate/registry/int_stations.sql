{# One row is one station that the registry names or that speaks in a log. #}
with registered as (
    select *
    from {{ ref('stg_registry__stations') }}
),

ports as (
    select *
    from {{ ref('stg_registry__ports') }}
),

frames as (
    select *
    from {{ source('ocpp', 'frame') }}
),

connection_events as (
    select *
    from {{ source('ocpp', 'connection_event') }}
),

named as (
    select station_id from registered
    union
    select station_id from ports
    union
    select station_id from frames
    union
    select station_id from connection_events
)

select
    named.station_id,
    coalesce(registered.site_id, 'unmapped') as site_id,
    registered.station_id is not null as is_registered
from named
left join registered
    on named.station_id = registered.station_id
