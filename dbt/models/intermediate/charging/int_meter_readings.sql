{# One row is one instant that one message tells the meter of: registers, power and state of charge. #}
{# Read from the lake as delivered: a sample told twice changes no maximum. A total counts where there is one, else the
   phases are added; L1 and L1-N are the same phase. #}
{% set kinds = [('register_wh', 'Energy.Active.Import.Register'), ('power_w', 'Power.Active.Import')] %}
with samples as (
    select * from {{ source('ocpp', 'meter_sample') }}
),

clocks as (
    select * from {{ ref('int_station_clock') }}
),

instants as (
    select
        frame_id,
        station_id,
        received_at,
        sampled_at,
        max(action) as action,
        max(transaction_id) as transaction_id,
        max(evse_id) as evse_id,
        max(connector_id) as connector_id,
        max(case when coalesce(location, 'Outlet') = 'Outlet' then 1 else 0 end) = 1 as is_outlet,
        {% for name, measurand in kinds %}
        max(
            case
                when measurand = '{{ measurand }}' and coalesce(location, 'Outlet') = 'Outlet' and phase is null
                    then value
            end
        ) as {{ name }},
        {% for phase in ['L1', 'L2', 'L3'] %}
        max(
            case
                when
                    measurand = '{{ measurand }}' and coalesce(location, 'Outlet') = 'Outlet'
                    and phase in ('{{ phase }}', '{{ phase }}-N')
                    then value
            end
        ) as {{ name }}_{{ phase | lower }},
        {% endfor %}
        {% endfor %}
        max(
            case
                when
                    measurand = 'Energy.Active.Import.Register' and coalesce(location, 'Outlet') = 'Outlet'
                    and phase is null and context = 'Transaction.Begin'
                    then value
            end
        ) as begin_wh,
        max(
            case
                when
                    measurand = 'Energy.Active.Import.Register' and coalesce(location, 'Outlet') = 'Outlet'
                    and phase is null and context = 'Transaction.End'
                    then value
            end
        ) as end_wh,
        max(case when measurand = 'SoC' then value end) as soc_percent
    from samples
    group by frame_id, station_id, received_at, sampled_at
),

added as (
    select
        frame_id,
        station_id,
        received_at,
        sampled_at,
        action,
        transaction_id,
        evse_id,
        connector_id,
        is_outlet,
        {% for name, _ in kinds %}
        coalesce(
            {{ name }},
            case
                when coalesce({{ name }}_l1, {{ name }}_l2, {{ name }}_l3) is not null
                    then coalesce({{ name }}_l1, 0) + coalesce({{ name }}_l2, 0) + coalesce({{ name }}_l3, 0)
            end
        ) as {{ name }},
        {% endfor %}
        begin_wh,
        end_wh,
        soc_percent
    from instants
)

select
    added.frame_id,
    added.station_id,
    added.action,
    added.transaction_id,
    added.evse_id,
    added.connector_id,
    added.received_at,
    added.sampled_at as event_at,
    {{ charger_time_quality('added.sampled_at', 'added.received_at', 'clocks.correction_s', 'clocks.reason') }}
        as event_at_quality,
    {{ charger_time('added.sampled_at', 'added.received_at', 'clocks.correction_s') }} as sampled_at,
    added.is_outlet,
    cast(added.register_wh as decimal(18, 4)) as register_wh,
    cast(added.begin_wh as decimal(18, 4)) as begin_wh,
    cast(added.end_wh as decimal(18, 4)) as end_wh,
    cast(added.power_w as decimal(18, 4)) as power_w,
    added.soc_percent
from added
left join clocks on {{ clock_tells('clocks', 'added', 'sampled_at', 'added.action') }}
