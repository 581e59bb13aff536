{# One row is one measure of charging success of one port, site, owner or the network in one local month. #}
{# Ratios are pooled: what is counted over all ports is divided once. An attempt whose outcome is not known yet, or whose
   beginning is not in the logs, is in no denominator. #}
with attempts as (
    select * from {{ ref('fct_charge_attempt') }}
),

visits as (
    select * from {{ ref('fct_visit') }}
),

-- one row for each attempt and measure that it has a say in
judged as (
    select
        port_id,
        site_id,
        owner_id,
        local_month,
        start_mode,
        'charge_start_success' as kpi,
        cast(null as string) as failure_reason,
        has_power_delivery as is_counted,
        cast(null as bigint) as start_time_s
    from attempts
    where is_start_observed and has_power_delivery is not null
    union all
    select
        port_id,
        site_id,
        owner_id,
        local_month,
        start_mode,
        'charge_end_success' as kpi,
        null as failure_reason,
        has_valid_end as is_counted,
        null as start_time_s
    from attempts
    where is_start_observed and has_power_delivery and has_valid_end is not null
    union all
    select
        port_id,
        site_id,
        owner_id,
        local_month,
        start_mode,
        'session_success' as kpi,
        null as failure_reason,
        has_valid_end as is_counted,
        null as start_time_s
    from attempts
    where is_start_observed and has_valid_end is not null
    union all
    select
        port_id,
        site_id,
        owner_id,
        local_month,
        start_mode,
        'charge_start_time' as kpi,
        null as failure_reason,
        true as is_counted,
        charge_start_time_s as start_time_s
    from attempts
    where is_start_observed and charge_start_time_s is not null
    union all
    -- authorised attempts in which energy began to flow and that ended well (NOW GmbH, Charging Success Rate)
    select
        port_id,
        site_id,
        owner_id,
        local_month,
        start_mode,
        'charging_success_rate_de' as kpi,
        null as failure_reason,
        is_success as is_counted,
        null as start_time_s
    from attempts
    where is_start_observed and has_authorization and is_success is not null
    union all
    -- sessions above 0.5 kWh and 3 minutes (QualiCharge, indicators u11 and q9)
    select
        port_id,
        site_id,
        owner_id,
        local_month,
        start_mode,
        'session_success_fr' as kpi,
        null as failure_reason,
        coalesce(
            energy_kwh > {{ var('france_min_energy_kwh') }} and duration_s > {{ var('france_min_duration_s') }}, false
        ) as is_counted,
        null as start_time_s
    from attempts
    where session_id is not null and ended_at is not null
    union all
    -- each attempt once, with its reason; counted below
    select
        port_id,
        site_id,
        owner_id,
        local_month,
        start_mode,
        'failed_attempts' as kpi,
        failure_reason,
        not is_success as is_counted,
        null as start_time_s
    from attempts
    where is_start_observed and is_success is not null
    union all
    select
        first_port_id as port_id,
        site_id,
        owner_id,
        local_month,
        'all' as start_mode,
        'visit_success' as kpi,
        null as failure_reason,
        is_success as is_counted,
        null as start_time_s
    from visits
    where is_start_observed and is_success is not null
    union all
    select
        first_port_id as port_id,
        site_id,
        owner_id,
        local_month,
        'all' as start_mode,
        'first_time_success' as kpi,
        null as failure_reason,
        is_first_time_success as is_counted,
        null as start_time_s
    from visits
    where is_start_observed and is_first_time_success is not null
),

modes as (
    select * from judged
    union all
    select
        port_id,
        site_id,
        owner_id,
        local_month,
        'all' as start_mode,
        kpi,
        failure_reason,
        is_counted,
        start_time_s
    from judged
    where start_mode <> 'all'
),

subjects as (
    {% for grain, subject in [('port', 'port_id'), ('site', 'site_id'), ('owner', 'owner_id'), ('network', "'all'")] %}
    select
        '{{ grain }}' as grain,
        {{ subject }} as subject_id,
        {{ "site_id" if grain in ('port', 'site') else "cast(null as string) as site_id" }},
        {{ "owner_id" if grain != 'network' else "cast(null as string) as owner_id" }},
        local_month,
        kpi,
        start_mode,
        failure_reason,
        is_counted,
        start_time_s
    from modes
    where {{ subject }} is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

counted as (
    select
        grain,
        subject_id,
        min(site_id) as site_id,
        min(owner_id) as owner_id,
        local_month,
        kpi,
        start_mode,
        sum(case when is_counted then 1 else 0 end) as numerator_count,
        count(*) as denominator_count,
    {% for percent in [10, 25, 50, 75] %}
    percentile_cont({{ percent / 100 }}) within group (order by start_time_s)
        as start_time_p{{ percent }}_s{{ ',' if not loop.last }}
    {% endfor %}
    from subjects
    group by grain, subject_id, local_month, kpi, start_mode
),

failed as (
    select
        grain,
        subject_id,
        local_month,
        start_mode,
        failure_reason,
        count(*) as numerator_count
    from subjects
    where kpi = 'failed_attempts' and is_counted
    group by grain, subject_id, local_month, start_mode, failure_reason
)

select
    counted.grain,
    counted.subject_id,
    counted.site_id,
    counted.owner_id,
    counted.local_month,
    counted.kpi,
    counted.start_mode,
    coalesce(failed.failure_reason, '') as failure_reason,
    cast(coalesce(failed.numerator_count, counted.numerator_count) as bigint) as numerator_count,
    cast(counted.denominator_count as bigint) as denominator_count,
    cast(
        case
            when counted.kpi <> 'charge_start_time'
                then coalesce(failed.numerator_count, counted.numerator_count) * 1.0 / counted.denominator_count
        end
        as decimal(18, 6)
    ) as kpi_ratio,
{% for percent in [10, 25, 50, 75] %}
cast(counted.start_time_p{{ percent }}_s as decimal(18, 3)) as start_time_p{{ percent }}_s{{ ',' if not loop.last }}
{% endfor %}
from counted
left join failed
    on
        counted.kpi = 'failed_attempts'
        and counted.grain = failed.grain
        and counted.subject_id = failed.subject_id
        and counted.local_month = failed.local_month
        and counted.start_mode = failed.start_mode
