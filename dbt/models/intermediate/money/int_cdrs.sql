{# One row is one CDR (its latest version; a credit is a row of its own), placed at its site, port and provider. #}
with cdrs as (
    select
        *,
        {{ ocpi_party() }} as party,
        {{ ocpi_key(['lower(location_id)']) }} as location_key
    from {{ ref('stg_ocpi__cdrs') }}
),

location_sites as (
    select * from {{ ref('int_location_sites') }}
),

evse_ports as (
    select * from {{ ref('int_evse_ports') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

emsps as (
    select * from {{ ref('dim_emsp') }}
),

tokens as (
    select * from {{ ref('stg_ocpi__tokens') }}
),

-- 2.1.1 CDRs do not say who issued the token; the Tokens module may.
token_parties as (
    select
        token_hash,
        min(upper(country_code) || '*' || upper(party_id)) as emsp_party
    from tokens
    where country_code is not null and party_id is not null
    group by token_hash
    having count(distinct upper(country_code) || '*' || upper(party_id)) = 1
),

emsp_parties as (
    select
        upper(ocpi_party) as emsp_party,
        min(emsp_id) as emsp_id
    from emsps
    where ocpi_party is not null
    group by upper(ocpi_party)
),

credited as (
    select distinct
        party,
        lower(credit_reference_id) as credited_cdr_key
    from cdrs
    where is_credit and credit_reference_id is not null
),

placed as (
    select
        cdrs.cdr_key,
        cdrs.cdr_id,
        cdrs.peer,
        cdrs.party,
        cdrs.country_code,
        cdrs.party_id,
        cdrs.ocpi_version,
        coalesce(location_sites.site_id, 'unmapped') as site_id,
        coalesce(location_sites.is_registered, false) as is_site_registered,
        evse_ports.port_id,
        coalesce(evse_ports.is_registered, false) as is_port_registered,
        coalesce(sites.owner_id, 'unmapped') as owner_id,
        coalesce(sites.operator_id, 'unmapped') as operator_id,
        coalesce(
            upper(cdrs.token_country_code) || '*' || upper(cdrs.token_party_id),
            token_parties.emsp_party
        ) as emsp_party,
        cdrs.ocpi_session_id,
        cdrs.started_at,
        cdrs.ended_at,
        -- The specification's stand-in for an unknown time is 1970.
        case
            when cdrs.ended_at >= {{ instant("'2000-01-01 00:00:00+00:00'") }} then cdrs.ended_at
            when cdrs.started_at >= {{ instant("'2000-01-01 00:00:00+00:00'") }} then cdrs.started_at
            else coalesce(cdrs.last_updated_at, cdrs.ended_at, cdrs.started_at)
        end as booked_at,
        cdrs.total_energy_kwh,
        cdrs.total_time_h,
        coalesce(upper(cdrs.currency), 'XXX') as currency,
        cdrs.total_cost_net,
        cdrs.total_cost_gross,
        coalesce(cdrs.is_credit, false) as is_credit,
        credited.credited_cdr_key is not null as is_credited,
        cdrs.credit_reference_id,
        coalesce(cdrs.is_home_charging_compensation, false) as is_home_charging_compensation,
        cdrs.token_hash,
        coalesce(
            case when location_sites.is_registered then sites.time_zone end,
            {{ known_time_zone('cdrs.location_time_zone') }},
            {{ known_time_zone('location_sites.time_zone') }}
        ) as known_time_zone,
        cdrs.last_updated_at
    from cdrs
    left join location_sites on cdrs.location_key = location_sites.location_key
    left join evse_ports
        on
            cdrs.location_key = evse_ports.location_key
            and lower(cdrs.evse_uid) = evse_ports.evse_key
    left join sites on location_sites.site_id = sites.site_id
    left join token_parties on cdrs.token_hash = token_parties.token_hash
    left join credited
        on
            cdrs.party = credited.party
            and lower(cdrs.cdr_id) = credited.credited_cdr_key
)

select
    placed.cdr_key,
    placed.cdr_id,
    placed.peer,
    placed.country_code,
    placed.party_id,
    placed.ocpi_version,
    placed.site_id,
    placed.is_site_registered,
    placed.port_id,
    placed.is_port_registered,
    placed.owner_id,
    placed.operator_id,
    case
        when placed.emsp_party is not null then coalesce(emsp_parties.emsp_id, 'unmapped')
    end as emsp_id,
    placed.ocpi_session_id,
    placed.started_at,
    placed.ended_at,
    placed.currency,
    -- Peers send a credit with amounts below zero (the specification's way, for the total), or with the same amounts
    -- once more: in either case it takes back.
    cast(
        case when placed.is_credit then -abs(placed.total_energy_kwh) else placed.total_energy_kwh end
        as decimal(18, 6)
    ) as energy_kwh,
    cast(
        case when placed.is_credit then -abs(placed.total_cost_net) else placed.total_cost_net end as decimal(18, 6)
    ) as billed_net,
    cast(
        case when placed.is_credit then -abs(placed.total_cost_gross) else placed.total_cost_gross end as decimal(18, 6)
    ) as billed_gross,
    cast(coalesce(
        {{ seconds_between('placed.started_at', 'placed.ended_at') }},
        round(placed.total_time_h * 3600)
    ) as bigint) as duration_s,
    placed.is_credit,
    placed.is_credited,
    placed.credit_reference_id,
    placed.is_home_charging_compensation,
    not(placed.is_credit or placed.is_credited or placed.is_home_charging_compensation) as is_counted,
    placed.token_hash,
    coalesce(placed.known_time_zone, {{ default_time_zone() }}) as time_zone,
    placed.known_time_zone is null as is_time_zone_assumed,
    {{ local_date('placed.booked_at', 'coalesce(placed.known_time_zone, ' ~ default_time_zone() ~ ')') }} as local_date,
    placed.last_updated_at
from placed
left join emsp_parties on placed.emsp_party = emsp_parties.emsp_party
