{# One row is one thing in contracts, costs or energy prices that makes money of a site doubtful, and what was made of it. #}
with contracts as (
    select * from {{ ref('stg_registry__contracts') }}
),

costs as (
    select * from {{ ref('stg_registry__costs') }}
),

prices as (
    select * from {{ ref('stg_registry__energy_prices') }}
),

series as (
    select * from {{ ref('stg_registry__hourly_prices') }}
),

quarantined as (
    select * from {{ source('quarantine', 'record') }}
),

landed as (
    select * from {{ source('meta', 'landed_file') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

calendar as (
    select * from {{ ref('int_site_calendar') }}
),

spans as (
    select * from {{ ref('int_contract_span') }}
),

unsettled as (
    select * from {{ ref('int_settlement_cdr') }}
    where exclusion_reason = 'no_contract'
),

charges as (
    select * from {{ ref('fct_energy_cost') }}
),

known as (
    select
        site_id,
        min(local_month) as from_on,
        max(accrued_until) as to_on
    from calendar
    group by site_id
),

-- Days without a contract between the first and the last day that a site's statements are about.
covered as (
    select
        site_id,
        from_on,
        to_on,
        max(coalesce(to_on, cast('9999-12-31' as date))) over (
            partition by site_id order by from_on
            rows between unbounded preceding and 1 preceding
        ) as covered_until
    from spans
),

holes as (
    select
        site_id,
        covered_until as from_on,
        from_on as to_on
    from covered
    where covered_until < from_on
    union all
    select
        known.site_id,
        max(coalesce(spans.to_on, cast('9999-12-31' as date))) as from_on,
        known.to_on
    from known
    inner join spans on known.site_id = spans.site_id
    group by known.site_id, known.to_on
    having max(coalesce(spans.to_on, cast('9999-12-31' as date))) < known.to_on
    union all
    select
        known.site_id,
        known.from_on,
        min(spans.from_on) as to_on
    from known
    inner join spans on known.site_id = spans.site_id
    group by known.site_id, known.from_on
    having min(spans.from_on) > known.from_on
    union all
    select
        known.site_id,
        known.from_on,
        known.to_on
    from known
    inner join sites on known.site_id = sites.site_id
    left join spans on known.site_id = spans.site_id
    where spans.site_id is null and sites.is_registered
),

gaps as (
    select
        holes.site_id,
        greatest(holes.from_on, known.from_on) as from_on,
        least(holes.to_on, known.to_on) as to_on
    from holes
    inner join known on holes.site_id = known.site_id
    where greatest(holes.from_on, known.from_on) < least(holes.to_on, known.to_on)
),

told_gaps as (
    select
        gaps.site_id,
        gaps.from_on,
        gaps.to_on,
        count(unsettled.cdr_key) as cdr_count
    from gaps
    left join unsettled
        on
            gaps.site_id = unsettled.site_id
            and unsettled.local_date >= gaps.from_on
            and unsettled.local_date < gaps.to_on
    group by gaps.site_id, gaps.from_on, gaps.to_on
),

commissioned as (
    select
        site_id,
        min(commissioned_on) as commissioned_on
    from stations
    where commissioned_on is not null
    group by site_id
),

opened as (
    select
        sites.site_id,
        min(coalesce(
            commissioned.commissioned_on, {{ local_date('ports.commissioned_at', 'sites.time_zone') }}
        )) as commissioned_on
    from sites
    left join commissioned on sites.site_id = commissioned.site_id
    left join ports on sites.site_id = ports.site_id
    group by sites.site_id
),

unpriced as (
    select
        site_id,
        local_month,
        sum(unpriced_energy_kwh) as unpriced_energy_kwh,
        sum(energy_kwh) as energy_kwh
    from charges
    group by site_id, local_month
    having sum(unpriced_energy_kwh) > 0
),

series_currencies as (
    select
        price_series_id,
        min(upper(currency)) as currency
    from series
    group by price_series_id
)

select
    'contract_gap' as kind,
    'error' as severity,
    'contract' as table_name,
    cast(null as varchar) as id,
    site_id,
    from_on,
    to_on,
    'no contract holds; ' || cast(cdr_count as varchar) || ' CDRs stand in no statement' as detail
from told_gaps
union all
select
    'contract_overlap' as kind,
    'error' as severity,
    'contract' as table_name,
    earlier.contract_id || ' ' || later.contract_id as id,
    earlier.site_id,
    later.valid_from as from_on,
    least(
        coalesce(earlier.valid_to, cast('9999-12-31' as date)), coalesce(later.valid_to, cast('9999-12-31' as date))
    ) as to_on,
    'both hold; ' || later.contract_id || ' is used' as detail
from contracts as earlier
inner join contracts as later
    on
        earlier.site_id = later.site_id
        and coalesce(earlier.station_id, '') = coalesce(later.station_id, '')
        and earlier.contract_id <> later.contract_id
        and (
            earlier.valid_from < later.valid_from
            or (earlier.valid_from = later.valid_from and earlier.contract_id < later.contract_id)
        )
        and (earlier.valid_to is null or earlier.valid_to > later.valid_from)
        and (later.valid_to is null or later.valid_to > later.valid_from)
union all
select
    'share_without_basis' as kind,
    'warn' as severity,
    'contract' as table_name,
    contract_id as id,
    site_id,
    valid_from as from_on,
    valid_to as to_on,
    'share_basis is empty: gross_revenue is used' as detail
from contracts
where owner_share_ratio is not null and share_basis is null
union all
select
    'contract_currency' as kind,
    'warn' as severity,
    'contract' as table_name,
    contracts.contract_id as id,
    contracts.site_id,
    contracts.valid_from as from_on,
    contracts.valid_to as to_on,
    'is in ' || contracts.currency || ', its site in ' || sites.currency
    || ': fees and guarantee have a statement of their own' as detail
from contracts
inner join sites on contracts.site_id = sites.site_id
where upper(contracts.currency) <> upper(sites.currency)
union all
select
    'owner_differs' as kind,
    'warn' as severity,
    'contract' as table_name,
    contracts.contract_id as id,
    contracts.site_id,
    contracts.valid_from as from_on,
    contracts.valid_to as to_on,
    'pays ' || contracts.owner_id || ', while sites.csv says ' || sites.owner_id || ': the contract is followed' as detail
from contracts
inner join sites on contracts.site_id = sites.site_id
inner join known on contracts.site_id = known.site_id
where
    contracts.owner_id <> sites.owner_id
    and contracts.valid_from < known.to_on
    and (contracts.valid_to is null or contracts.valid_to >= known.to_on)
union all
select
    'cost_in_other_currency' as kind,
    'warn' as severity,
    'cost' as table_name,
    costs.cost_id as id,
    costs.site_id,
    costs.incurred_on as from_on,
    costs.ends_on as to_on,
    costs.kind || ' in ' || costs.currency || ', its site in ' || sites.currency
    || ': it stands in rows of its own and is added to nothing' as detail
from costs
inner join sites on costs.site_id = sites.site_id
where upper(costs.currency) <> upper(sites.currency)
union all
select
    'cost_before_commissioning' as kind,
    -- an investment comes before the opening
    case when costs.kind in ('capex', 'grant') then 'info' else 'warn' end as severity,
    'cost' as table_name,
    costs.cost_id as id,
    costs.site_id,
    costs.incurred_on as from_on,
    opened.commissioned_on as to_on,
    costs.kind || ' before the site opened on ' || cast(opened.commissioned_on as varchar) as detail
from costs
inner join opened on costs.site_id = opened.site_id
where costs.incurred_on < opened.commissioned_on
union all
select
    'energy_without_price' as kind,
    'warn' as severity,
    'energy_price' as table_name,
    cast(null as varchar) as id,
    site_id,
    local_month as from_on,
    {{ month_after('local_month') }} as to_on,
    cast(cast(unpriced_energy_kwh as decimal(18, 3)) as varchar) || ' of '
    || cast(cast(energy_kwh as decimal(18, 3)) as varchar) || ' kWh have no price and cost 0' as detail
from unpriced
union all
select
    'price_series_unknown' as kind,
    'error' as severity,
    'energy_price' as table_name,
    prices.price_series_id as id,
    prices.site_id,
    prices.valid_from as from_on,
    prices.valid_to as to_on,
    case
        when series_currencies.price_series_id is null then 'hourly_prices.csv has no such series'
        else 'is in ' || series_currencies.currency || ', the price in ' || prices.currency
    end || ': the energy has no price' as detail
from prices
left join series_currencies on prices.price_series_id = series_currencies.price_series_id
where
    prices.price_series_id is not null
    and coalesce(series_currencies.currency <> upper(prices.currency), true)
union all
select
    'row_not_read' as kind,
    'error' as severity,
    landed.table_name,
    quarantined.path || ' line ' || cast(quarantined.line_number as varchar) as id,
    cast(null as varchar) as site_id,
    cast(null as date) as from_on,
    cast(null as date) as to_on,
    coalesce(quarantined.column_name, 'row') || ' is ' || coalesce(quarantined.value, 'empty') || ', expected '
    || coalesce(quarantined.expected, 'otherwise') || ': the row is left out' as detail
from quarantined
inner join landed
    on
        quarantined.source_id = landed.source_id
        and landed.is_current
        and landed.is_first_path
        and landed.table_name in ('contracts', 'costs', 'energy_prices', 'hourly_prices')
