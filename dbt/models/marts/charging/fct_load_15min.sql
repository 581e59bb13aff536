{# One row is one site in one quarter hour (UTC) in which it charged vehicles. #}
with load as (
    select * from {{ ref('int_session_load') }}
),

summed as (
    select
        site_id,
        interval_start_at,
        sum(energy_kwh) as energy_kwh,
        count(*) as session_count
    from load
    group by site_id, interval_start_at
)

select
    site_id,
    interval_start_at,
    cast(energy_kwh * 4 as decimal(18, 3)) as average_power_kw,
    cast(energy_kwh as decimal(18, 6)) as energy_kwh,
    cast(session_count as bigint) as session_count
from summed
