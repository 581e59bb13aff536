{# One row is one window and one local month inside it. #}
{# Windows are the calendar's months, quarters, halves and years, and rolling windows of twelve months (and of what a
   policy names) that end with a month. Every window reaches from a local midnight to a local midnight of each site. #}
with ports as (
    select *
    from {{ ref('int_sla_port') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

bounds as (
    select
        min(first_month) as first_month,
        max(last_month) as last_month,
        min({{ month_start(local_date('network_begins_at', 'time_zone')) }}) as first_recorded_month,
        max({{ month_start(local_date(plus_seconds('horizon_at', -1), 'time_zone')) }}) as last_recorded_month
    from ports
    having count(*) > 0
),

months as (
    select cast({{ months_between_dates('first_month', 'last_month') }} as date) as local_month
    from bounds
),

lengths as (
    select
        'rolling_' || cast(window_months as varchar) || '_months' as period_kind,
        window_months
    from policies
    where window_type = 'rolling_months'
    union
    select
        'rolling_12_months' as period_kind,
        12 as window_months
),

calendar as (
    select
        local_month,
        'month' as period_kind,
        local_month as period_start,
        {{ plus_months('local_month', '1') }} as period_end
    from months
    union all
    select
        local_month,
        'quarter' as period_kind,
        cast(date_trunc('quarter', local_month) as date) as period_start,
        {{ plus_months("cast(date_trunc('quarter', local_month) as date)", '3') }} as period_end
    from months
    union all
    select
        local_month,
        'half_year' as period_kind,
        {{ plus_months(
            "cast(date_trunc('year', local_month) as date)",
            'case when extract(month from local_month) > 6 then 6 else 0 end'
        ) }} as period_start,
        {{ plus_months(
            "cast(date_trunc('year', local_month) as date)",
            'case when extract(month from local_month) > 6 then 12 else 6 end'
        ) }} as period_end
    from months
    union all
    select
        local_month,
        'year' as period_kind,
        cast(date_trunc('year', local_month) as date) as period_start,
        {{ plus_months("cast(date_trunc('year', local_month) as date)", '12') }} as period_end
    from months
),

rolling as (
    select
        months.local_month,
        lengths.period_kind,
        {{ plus_months('last_months.local_month', '1 - lengths.window_months') }} as period_start,
        {{ plus_months('last_months.local_month', '1') }} as period_end
    from lengths
    cross join months as last_months
    inner join months
        on
            months.local_month <= last_months.local_month
            and months.local_month > {{ plus_months('last_months.local_month', '-lengths.window_months') }}
),

windows as (
    select local_month, period_kind, period_start, period_end
    from calendar
    union all
    select local_month, period_kind, period_start, period_end
    from rolling
)

select
    windows.period_kind,
    windows.period_start,
    windows.period_end,
    windows.local_month
from windows
cross join bounds
-- only windows that hold something recorded; a rolling one ends with a month that does
where
    windows.period_start <= bounds.last_recorded_month
    and windows.period_end > bounds.first_recorded_month
    and (
        windows.period_kind not like 'rolling%'
        or windows.period_end <= {{ plus_months('bounds.last_recorded_month', '1') }}
    )
