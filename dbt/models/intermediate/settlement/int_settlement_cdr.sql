{# One row is one CDR with the contract it is settled under, or the reason why it is not. #}
{# It is settled as billed. A CDR that the audit disputes stays until the peer credits it: a CDR and its credit both count
   as revenue and cancel out, and neither counts for fees. #}
with cdrs as (
    select * from {{ ref('fct_cdr') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

spans as (
    select * from {{ ref('int_contract_span') }}
),

contracts as (
    select * from {{ ref('dim_contract') }}
),

emsps as (
    select * from {{ ref('dim_emsp') }}
),

currencies as (
    select * from {{ ref('currencies') }}
),

-- A port whose station stands nowhere is under the contract of its site.
placed as (
    select
        cdrs.*,
        case when stations.site_id = cdrs.site_id then stations.station_id end as station_id
    from cdrs
    left join ports on cdrs.port_id = ports.port_id
    left join stations on ports.station_id = stations.station_id
),

under as (
    select
        placed.*,
        spans.contract_id
    from placed
    left join spans
        on
            placed.site_id = spans.site_id
            and coalesce(placed.station_id, '') = coalesce(spans.station_id, '')
            and placed.local_date >= spans.from_on
            and (spans.to_on is null or placed.local_date < spans.to_on)
)

select
    under.cdr_key,
    under.cdr_id,
    under.site_id,
    under.owner_id as site_owner_id,
    under.local_date,
    under.local_month,
    under.currency,
    under.billed_net,
    under.billed_gross,
    {{ in_minor_units('under.billed_net', 'currencies.minor_digits') }} as amount_net,
    under.energy_kwh,
    under.is_counted,
    under.is_credit,
    case
        when under.is_home_charging_compensation then 'home_charging_compensation'
        when under.billed_net is null then 'no_amount'
        when under.currency = 'XXX' then 'no_currency'
        when under.site_id = 'unmapped' then 'unmapped_site'
        when under.contract_id is null then 'no_contract'
    end as exclusion_reason,
    contracts.contract_id,
    contracts.owner_id,
    cast(case
        when under.is_counted
            then round(
                coalesce({{ exact_product('emsps.roaming_fee_per_kwh', 'under.energy_kwh') }}, 0)
                + coalesce(emsps.roaming_fee_per_session, 0),
                6
            )
        else 0
    end as decimal(18, 6)) as roaming_fee_net,
    coalesce(upper(emsps.currency), under.currency) as roaming_fee_currency
from under
left join contracts on under.contract_id = contracts.contract_id
left join emsps on under.emsp_id = emsps.emsp_id
left join currencies on under.currency = currencies.currency
