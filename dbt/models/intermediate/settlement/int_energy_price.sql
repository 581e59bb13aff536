{# One row is one site in one quarter hour (UTC) in which it charged vehicles, with the price of energy then. #}
{# Each condition of a price is judged at the quarter hour's beginning, on the clock on the site's wall. Of several that
   hold, the one valid from later goes first, then the one with hours, then the one with weekdays. #}
with loads as (
    select * from {{ ref('fct_load_15min') }}
),

cdr_loads as (
    select * from {{ ref('int_cdr_load') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

prices as (
    select * from {{ ref('stg_registry__energy_prices') }}
),

series as (
    select * from {{ ref('stg_registry__hourly_prices') }}
),

intervals as (
    select
        site_id,
        interval_start_at
    from loads
    union
    select
        site_id,
        interval_start_at
    from cdr_loads
),

clocked as (
    select
        intervals.site_id,
        intervals.interval_start_at,
        {{ wall_clock('intervals.interval_start_at', "coalesce(sites.time_zone, 'UTC')") }} as local_clock
    from intervals
    left join sites on intervals.site_id = sites.site_id
),

placed as (
    select
        site_id,
        interval_start_at,
        cast(local_clock as date) as local_date,
        cast({{ iso_weekday('local_clock') }} as varchar) as weekday,
        {{ second_of_day('local_clock') }} as clock_s
    from clocked
),

terms as (
    select
        site_id,
        valid_from,
        valid_to,
        days,
        from_time is null and to_time is null as is_all_day,
        coalesce({{ second_of_day('from_time') }}, 0) as from_s,
        coalesce({{ second_of_day('to_time') }}, 86400) as to_s,
        price_per_kwh,
        price_series_id,
        upper(currency) as currency
    from prices
),

valid as (
    select
        placed.site_id,
        placed.interval_start_at,
        terms.price_per_kwh,
        terms.price_series_id,
        terms.currency
    from placed
    inner join terms
        on
            placed.site_id = terms.site_id
            and placed.local_date >= terms.valid_from
            and (terms.valid_to is null or placed.local_date < terms.valid_to)
            and (terms.days is null or terms.days like '%' || placed.weekday || '%')
            -- an end that is not after its beginning lies on the next day: 22:00 to 06:00
            and case
                when terms.to_s > terms.from_s then placed.clock_s >= terms.from_s and placed.clock_s < terms.to_s
                else placed.clock_s >= terms.from_s or placed.clock_s < terms.to_s
            end
    qualify row_number() over (
        partition by placed.site_id, placed.interval_start_at
        order by
            terms.valid_from desc,
            terms.is_all_day asc,
            case when terms.days is null then 1 else 0 end asc,
            terms.from_s desc,
            terms.days asc
    ) = 1
),

-- A price of a series holds until the next one, an hour at most: half hours and quarter hours are told alike.
lasting as (
    select
        price_series_id,
        started_at,
        least(
            coalesce(
                lead(started_at) over (partition by price_series_id order by started_at),
                started_at + interval '1' hour
            ),
            started_at + interval '1' hour
        ) as ended_at,
        price_per_kwh,
        upper(currency) as currency
    from series
),

series_quarters as (
    select
        price_series_id,
        {{ quarter_hours_between('started_at', "ended_at - interval '1' second") }} as interval_start_at,
        price_per_kwh,
        currency
    from lasting
)

-- A price that needs a series is unknown where the series says nothing, or speaks another currency.
select
    placed.site_id,
    placed.interval_start_at,
    placed.local_date,
    {{ month_of('placed.local_date') }} as local_month,
    cast(case
        when valid.price_series_id is null then valid.price_per_kwh
        else valid.price_per_kwh + series_quarters.price_per_kwh
    end as decimal(18, 6)) as price_per_kwh,
    valid.currency,
    valid.price_series_id
from placed
left join valid
    on
        placed.site_id = valid.site_id
        and placed.interval_start_at = valid.interval_start_at
left join series_quarters
    on
        valid.price_series_id = series_quarters.price_series_id
        and valid.currency = series_quarters.currency
        and placed.interval_start_at = series_quarters.interval_start_at
