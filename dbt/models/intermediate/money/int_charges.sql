{# One row is one charge that counts: an OCPP session, or a counted CDR of a site without OCPP logs. #}
with sessions as (
    select * from {{ ref('fct_session') }}
),

cdrs as (
    select * from {{ ref('int_cdrs') }}
),

-- Most sites have both, and then the meter speaks, not the bill. Counting both would count a charge twice.
sites_with_sessions as (
    select distinct site_id
    from sessions
)

select
    session_id as charge_id,
    'session' as charge_source,
    site_id,
    port_id,
    local_date,
    local_month,
    energy_kwh,
    peak_power_kw
from sessions
union all
select
    cdrs.cdr_key as charge_id,
    'cdr' as charge_source,
    cdrs.site_id,
    cdrs.port_id,
    cdrs.local_date,
    cast(date_trunc('month', cdrs.local_date) as date) as local_month,
    cdrs.energy_kwh,
    cast(null as decimal(18, 3)) as peak_power_kw
from cdrs
left join sites_with_sessions on cdrs.site_id = sites_with_sessions.site_id
where
    cdrs.is_counted
    and sites_with_sessions.site_id is null
