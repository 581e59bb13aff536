{# One row is one CDR in its latest version; a credit is a row of its own. #}
with cdrs as (
    select * from {{ ref('int_cdrs') }}
),

cdr_sessions as (
    select * from {{ ref('int_cdr_sessions') }}
)

select
    cdrs.cdr_key,
    cdrs.cdr_id,
    cdrs.peer,
    cdrs.country_code,
    cdrs.party_id,
    cdrs.ocpi_version,
    cdrs.site_id,
    -- An EVSE the registry does not name is a port of its own, unless the OCPP session tells which port it is.
    case when cdrs.is_port_registered then cdrs.port_id else coalesce(cdr_sessions.port_id, cdrs.port_id) end
        as port_id,
    cdrs.owner_id,
    cdrs.operator_id,
    cdrs.emsp_id,
    cdr_sessions.session_id,
    cdrs.ocpi_session_id,
    cdrs.started_at,
    cdrs.ended_at,
    cdrs.energy_kwh,
    cdrs.duration_s,
    cdrs.currency,
    cdrs.billed_net,
    cdrs.billed_gross,
    cdrs.is_credit,
    cdrs.credit_reference_id as credited_cdr_id,
    cdrs.is_credited,
    cdrs.is_home_charging_compensation,
    cdrs.is_counted,
    cdrs.token_hash,
    cdrs.local_date,
    cast(date_trunc('month', cdrs.local_date) as date) as local_month,
    cdrs.time_zone,
    cdrs.is_time_zone_assumed,
    cdrs.last_updated_at
from cdrs
left join cdr_sessions on cdrs.cdr_key = cdr_sessions.cdr_key
