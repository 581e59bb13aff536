{# One row is one invoice between an operator's party and a provider, as the list of CDR ids that defines it in the
   Invoice Reconciliation module of OCPI 2.3.0. #}
{# The list decides what an invoice bills, not the period: credits and late CDRs stand on it like any other. #}
with cdrs as (
    select * from {{ ref('fct_cdr') }}
),

operators as (
    select * from {{ ref('dim_operator') }}
),

emsps as (
    select * from {{ ref('dim_emsp') }}
),

delivered as (
    select * from {{ ref('stg_ocpi__cdrs') }}
),

-- 2.1.1 names no party: the registry's operator does.
listed as (
    select
        cdrs.cdr_id,
        cdrs.peer,
        upper(coalesce(cdrs.country_code, substr(operators.ocpi_party, 1, 2), '')) as country_code,
        upper(coalesce(cdrs.party_id, substr(operators.ocpi_party, 4), '')) as party_id,
        cdrs.operator_id,
        cdrs.emsp_id,
        upper(emsps.ocpi_party) as emsp_party,
        cdrs.local_month,
        cdrs.currency,
        delivered.invoice_reference_id,
        cdrs.billed_net,
        cdrs.billed_gross,
        cdrs.is_credit,
        cdrs.energy_kwh,
        cdrs.last_updated_at,
        cdrs.has_open_dispute,
        cdrs.money_at_stake
    from cdrs
    inner join delivered on cdrs.cdr_key = delivered.cdr_key
    left join operators on cdrs.operator_id = operators.operator_id
    inner join emsps on cdrs.emsp_id = emsps.emsp_id
    where not cdrs.is_home_charging_compensation and cdrs.emsp_id <> 'unmapped'
),

invoiced as (
    select
        *,
        coalesce(
            invoice_reference_id,
            concat_ws(
                '-',
                country_code || party_id,
                replace(emsp_party, '*', ''),
                replace(substr(cast(local_month as varchar), 1, 7), '-', ''),
                currency
            )
        ) as invoice_id
    from listed
),

summed as (
    select
        country_code,
        party_id,
        operator_id,
        emsp_id,
        currency,
        invoice_id,
        max(local_month) as local_month,
        count(*) as cdr_count,
        {{ json_array_of('cdr_id') }} as cdrs,
        sum(billed_net) as total_net,
        case when count(billed_gross) = count(*) then sum(billed_gross) end as total_gross,
        sum(case when is_credit then billed_net else 0 end) as credited_net,
        sum(energy_kwh) as energy_kwh,
        sum(case when has_open_dispute then 1 else 0 end) as disputed_cdr_count,
        sum(case when has_open_dispute then coalesce(money_at_stake, 0) else 0 end) as disputed_net,
        max(last_updated_at) as last_updated_at
    from invoiced
    group by country_code, party_id, operator_id, emsp_id, currency, invoice_id
)

-- The id of a record has at most 36 characters, which a hash keeps to.
select
    md5(concat_ws('|', country_code, party_id, operator_id, emsp_id, currency, invoice_id)) as reconciliation_id,
    country_code,
    party_id,
    invoice_id,
    operator_id,
    emsp_id,
    local_month,
    currency,
    cast(cdr_count as bigint) as cdr_count,
    cdrs,
    cast(total_net as decimal(18, 6)) as total_net,
    cast(total_gross as decimal(18, 6)) as total_gross,
    cast(credited_net as decimal(18, 6)) as credited_net,
    cast(energy_kwh as decimal(18, 6)) as energy_kwh,
    cast(disputed_cdr_count as bigint) as disputed_cdr_count,
    cast(disputed_net as decimal(18, 6)) as disputed_net,
    last_updated_at,
    '{"country_code":' || {{ json_quoted('country_code') }}
    || ',"party_id":' || {{ json_quoted('party_id') }}
    || ',"id":"' || md5(concat_ws('|', country_code, party_id, operator_id, emsp_id, currency, invoice_id))
    || '","invoice_id":' || {{ json_quoted('invoice_id') }}
    || ',"cdrs":' || cdrs
    || ',"last_updated":"' || {{ ocpi_time('last_updated_at') }}
    || '"}' as record
from summed
