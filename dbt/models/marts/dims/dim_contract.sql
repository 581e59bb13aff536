{# One row is one contract between the owner and the operator of a site or station. #}
with contracts as (
    select *
    from {{ ref('stg_registry__contracts') }}
)

select
    contract_id,
    site_id,
    station_id,
    owner_id,
    operator_id,
    valid_from,
    valid_to,
    sla_policy_id,
    sla_target_ratio,
    sla_credit_per_percent_point,
    owner_share_ratio,
    share_basis,
    operator_fee_per_kwh,
    operator_fee_per_session,
    operator_fee_per_port_month,
    minimum_guarantee_per_month,
    energy_compensation_per_kwh,
    currency
from contracts
