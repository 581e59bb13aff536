{# One row is one port and one contract that it is under, with the instants between which it is. #}
{# A contract about a station takes that station out of the site's own contract while it lasts. #}
with contracts as (
    select *
    from {{ ref('dim_contract') }}
),

ports as (
    select *
    from {{ ref('dim_port') }}
),

covered as (
    select
        contracts.contract_id,
        contracts.station_id as contract_station_id,
        ports.port_id,
        ports.station_id,
        {{ local_midnight('contracts.valid_from', 'ports.time_zone') }} as valid_from_at,
        {{ local_midnight('contracts.valid_to', 'ports.time_zone') }} as valid_to_at
    from contracts
    inner join ports
        on
            contracts.site_id = ports.site_id
            and (contracts.station_id is null or contracts.station_id = ports.station_id)
),

-- the days on which a contract about the station begins or ends cut the site's own
points as (
    select port_id, valid_from_at as point_at from covered
    union
    select port_id, valid_to_at as point_at from covered where valid_to_at is not null
),

spans as (
    select
        port_id,
        point_at as started_at,
        lead(point_at) over (partition by port_id order by point_at) as ended_at
    from points
),

chosen as (
    select
        spans.port_id,
        spans.started_at,
        spans.ended_at,
        covered.contract_id,
        row_number() over (
            partition by spans.port_id, spans.started_at
            order by
                case when covered.contract_station_id is null then 1 else 0 end asc,
                covered.valid_from_at desc,
                covered.contract_id asc
        ) as contract_rank
    from spans
    inner join covered
        on
            spans.port_id = covered.port_id
            and spans.started_at >= covered.valid_from_at
            and spans.started_at < coalesce(covered.valid_to_at, {{ instant("'9999-01-01 00:00:00+00:00'") }})
)

select
    port_id,
    contract_id,
    started_at as valid_from_at,
    ended_at as valid_to_at
from chosen
where contract_rank = 1
