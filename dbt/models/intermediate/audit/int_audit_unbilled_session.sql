{# One row is one completed Session of the Sessions module that no CDR bills, some days after it ended. #}
with sessions as (
    select
        *,
        {{ ocpi_party() }} as party,
        {{ ocpi_key(['lower(location_id)']) }} as location_key
    from {{ ref('stg_ocpi__sessions') }}
),

cdrs as (
    select
        *,
        {{ ocpi_party() }} as party
    from {{ ref('stg_ocpi__cdrs') }}
),

location_sites as (
    select * from {{ ref('int_location_sites') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

emsps as (
    select * from {{ ref('dim_emsp') }}
),

defects as (
    select * from {{ ref('cdr_defects') }}
    where defect_id = 'session_without_cdr'
),

as_of as (
    select * from {{ ref('int_as_of') }}
),

billed as (
    select distinct
        party,
        lower(ocpi_session_id) as session_id_key
    from cdrs
    where ocpi_session_id is not null
),

-- A peer that sends no CDRs at all bills elsewhere.
billing as (
    select distinct party
    from cdrs
),

emsp_parties as (
    select
        upper(ocpi_party) as emsp_party,
        min(emsp_id) as emsp_id
    from emsps
    where ocpi_party is not null
    group by upper(ocpi_party)
)

select
    sessions.session_key,
    sessions.ocpi_session_id,
    sessions.peer,
    sessions.country_code,
    sessions.party_id,
    coalesce(location_sites.site_id, 'unmapped') as site_id,
    coalesce(sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    case
        when sessions.token_country_code is not null then coalesce(emsp_parties.emsp_id, 'unmapped')
    end as emsp_id,
    coalesce(upper(sessions.currency), 'XXX') as currency,
    sessions.total_cost_net,
    {{ local_date('sessions.ended_at', 'coalesce(sites.time_zone, ' ~ default_time_zone() ~ ')') }} as local_date,
    sessions.last_updated_at,
    cast(defects.threshold as integer) as allowed_days,
    {{ whole_days('sessions.ended_at', 'as_of.as_of_at') }} as age_days
from sessions
cross join as_of
cross join defects
inner join billing on sessions.party = billing.party
left join billed on sessions.party = billed.party and lower(sessions.ocpi_session_id) = billed.session_id_key
left join location_sites on sessions.location_key = location_sites.location_key
left join sites on location_sites.site_id = sites.site_id
left join emsp_parties
    on upper(sessions.token_country_code) || '*' || upper(sessions.token_party_id) = emsp_parties.emsp_party
where
    upper(sessions.status) = 'COMPLETED'
    and coalesce(sessions.energy_kwh > 0, true)
    and billed.session_id_key is null
    and {{ whole_days('sessions.ended_at', 'as_of.as_of_at') }} >= defects.threshold
