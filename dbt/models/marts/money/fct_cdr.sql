{# One row is one CDR in its latest version; a credit is a row of its own. #}
with cdrs as (
    select * from {{ ref('int_cdrs') }}
),

cdr_sessions as (
    select * from {{ ref('int_cdr_sessions') }}
),

verdicts as (
    select * from {{ ref('int_audit_verdict') }}
),

evidence as (
    select * from {{ ref('int_audit_evidence') }}
),

prices as (
    select * from {{ ref('int_price_cdr') }}
),

price_lists as (
    select * from {{ ref('int_price_list') }}
),

findings as (
    select * from {{ ref('fct_cdr_finding') }}
),

-- Several findings may tell of the same money: the largest stands for them.
summed as (
    select
        cdr_key,
        count(*) as finding_count,
        max(money_at_stake) as money_at_stake,
        max(case when severity = 'error' and defect_group in ('structure', 'identity', 'time', 'energy') then 1 else 0 end) = 1
            as is_defective,
        max(case when is_dispute_open and severity <> 'info' then 1 else 0 end) = 1 as has_open_dispute
    from findings
    where cdr_key is not null
    group by cdr_key
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
    verdicts.repriced_net,
    verdicts.repriced_gross,
    verdicts.expected_net,
    verdicts.expected_gross,
    case when not cdrs.is_credit and verdicts.audit_verdict <> 'not_auditable' then verdicts.off_net end as difference_net,
    case when not cdrs.is_credit and verdicts.audit_verdict <> 'not_auditable' then verdicts.off_gross end
        as difference_gross,
    verdicts.audit_verdict,
    verdicts.audit_reason,
    case when coalesce(summed.is_defective, false) then 'defective' else 'sound' end as structure_verdict,
    verdicts.dimension_verdict,
    verdicts.rounding_id,
    verdicts.rounding_source,
    price_lists.tariff_version_id,
    verdicts.tariff_source,
    prices.time_zone_source,
    cast(coalesce(summed.finding_count, 0) as bigint) as finding_count,
    summed.money_at_stake,
    coalesce(summed.has_open_dispute, false) as has_open_dispute,
    evidence.latency_s,
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
inner join verdicts on cdrs.cdr_key = verdicts.cdr_key
inner join evidence on cdrs.cdr_key = evidence.cdr_key
inner join prices on cdrs.cdr_key = prices.cdr_key
left join price_lists on verdicts.price_list_number = price_lists.price_list_number
left join cdr_sessions on cdrs.cdr_key = cdr_sessions.cdr_key
left join summed on cdrs.cdr_key = summed.cdr_key
