{# One row is one site with the currency its money is kept in. #}
with sites as (
    select * from {{ ref('dim_site') }}
),

cdrs as (
    select * from {{ ref('int_cdrs') }}
),

sessions as (
    select * from {{ ref('fct_session') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

known_sites as (
    select site_id from sites
    union
    select site_id from cdrs
    union
    select site_id from sessions
    union
    select site_id from ports
),

counted as (
    select
        site_id,
        currency,
        count(*) as cdr_count
    from cdrs
    group by site_id, currency
),

commonest as (
    select
        site_id,
        currency
    from counted
    qualify row_number() over (partition by site_id order by cdr_count desc, currency asc) = 1
)

-- Without a currency in the registry: the one most of its CDRs are in; without CDRs XXX, ISO 4217 for no currency.
select
    known_sites.site_id,
    coalesce(upper(sites.currency), commonest.currency, 'XXX') as currency
from known_sites
left join sites on known_sites.site_id = sites.site_id
left join commonest on known_sites.site_id = commonest.site_id
where known_sites.site_id is not null
