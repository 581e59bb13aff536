{# One row is one contract in one local month of its site: the days and ports under it, and the part of the month's fixed
   costs that falls to it. #}
{# Days and port-days are counted up to the day the data speak of. What a site pays as a whole (fixed fee, demand) is
   shared among its contracts by port-days, or by days where it has no ports. #}
with calendar as (
    select * from {{ ref('int_site_calendar') }}
),

spans as (
    select * from {{ ref('int_contract_span') }}
),

contracts as (
    select * from {{ ref('dim_contract') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

-- Days on which a contract is the one that holds where it was made for: its station, else its site as a whole.
home_days as (
    select
        contracts.contract_id,
        calendar.site_id,
        calendar.local_month,
        sum({{ days_from_to(
            'greatest(spans.from_on, calendar.local_month)',
            'least(coalesce(spans.to_on, calendar.accrued_until), calendar.accrued_until)'
        ) }}) as contract_days
    from contracts
    inner join spans
        on
            contracts.contract_id = spans.contract_id
            and contracts.site_id = spans.site_id
            and coalesce(contracts.station_id, '') = coalesce(spans.station_id, '')
    inner join calendar
        on
            spans.site_id = calendar.site_id
            and spans.from_on < calendar.accrued_until
            and coalesce(spans.to_on > calendar.local_month, true)
    group by contracts.contract_id, calendar.site_id, calendar.local_month
),

-- A port counts on the local dates on which it is in service, the first one included.
serving as (
    select
        ports.port_id,
        ports.site_id,
        case when stations.site_id = ports.site_id then stations.station_id end as station_id,
        {{ local_date('ports.commissioned_at', 'ports.time_zone') }} as from_on,
        {{ local_date('ports.decommissioned_at', 'ports.time_zone') }} as to_on
    from ports
    inner join stations on ports.station_id = stations.station_id
),

in_service as (
    select
        serving.port_id,
        serving.site_id,
        serving.station_id,
        calendar.local_month,
        greatest(coalesce(serving.from_on, calendar.local_month), calendar.local_month) as from_on,
        least(coalesce(serving.to_on, calendar.accrued_until), calendar.accrued_until) as to_on
    from serving
    inner join calendar
        on
            serving.site_id = calendar.site_id
            and coalesce(serving.from_on < calendar.accrued_until, true)
            and coalesce(serving.to_on > calendar.local_month, true)
),

site_port_days as (
    select
        site_id,
        local_month,
        sum({{ days_from_to('from_on', 'to_on') }}) as site_port_days
    from in_service
    group by site_id, local_month
),

port_days as (
    select
        spans.contract_id,
        in_service.site_id,
        in_service.local_month,
        sum({{ days_from_to(
            'greatest(in_service.from_on, spans.from_on)',
            'least(in_service.to_on, coalesce(spans.to_on, in_service.to_on))'
        ) }}) as port_days
    from in_service
    inner join spans
        on
            in_service.site_id = spans.site_id
            and coalesce(in_service.station_id, '') = coalesce(spans.station_id, '')
    group by spans.contract_id, in_service.site_id, in_service.local_month
),

counted as (
    select
        calendar.site_id,
        calendar.local_month,
        contracts.contract_id,
        calendar.day_count,
        {{ days_from_to('calendar.local_month', 'calendar.accrued_until') }} as elapsed_days,
        coalesce(home_days.contract_days, 0) as contract_days,
        coalesce(port_days.port_days, 0) as port_days,
        coalesce(site_port_days.site_port_days, 0) as site_port_days
    from calendar
    inner join contracts on calendar.site_id = contracts.site_id
    left join home_days
        on
            contracts.contract_id = home_days.contract_id
            and calendar.site_id = home_days.site_id
            and calendar.local_month = home_days.local_month
    left join port_days
        on
            contracts.contract_id = port_days.contract_id
            and calendar.site_id = port_days.site_id
            and calendar.local_month = port_days.local_month
    left join site_port_days
        on
            calendar.site_id = site_port_days.site_id
            and calendar.local_month = site_port_days.local_month
)

select
    contract_id,
    site_id,
    local_month,
    cast(day_count as bigint) as day_count,
    cast(contract_days as bigint) as contract_days,
    cast(port_days as bigint) as port_days,
    cast(case when site_port_days > 0 then port_days else contract_days end as bigint) as share_part,
    cast(case when site_port_days > 0 then site_port_days else elapsed_days end as bigint) as share_whole
from counted
where contract_days > 0 or port_days > 0
