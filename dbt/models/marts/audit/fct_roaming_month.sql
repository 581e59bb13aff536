{# One row is one provider at one operator in one local month and one currency: what its drivers charged, what was
   billed, what the audit found, and what roaming costs. #}
with cdrs as (
    select * from {{ ref('fct_cdr') }}
),

emsps as (
    select * from {{ ref('dim_emsp') }}
),

billed as (
    select
        emsp_id,
        operator_id,
        local_month,
        currency,
        count(*) as cdr_count,
        sum(case when is_counted then 1 else 0 end) as session_count,
        sum(case when is_counted then energy_kwh else 0 end) as energy_kwh,
        sum(billed_net) as billed_net,
        sum(billed_gross) as billed_gross,
        sum(case when audit_verdict in ('match', 'rounding', 'mismatch') and not is_credit then repriced_net end)
            as repriced_net,
        sum(case when audit_verdict in ('match', 'rounding', 'mismatch') and not is_credit then difference_net end)
            as difference_net,
        sum(case when audit_verdict = 'mismatch' then 1 else 0 end) as mismatch_cdr_count,
        sum(case when audit_verdict = 'not_auditable' then 1 else 0 end) as not_auditable_cdr_count,
        sum(case when has_open_dispute then 1 else 0 end) as open_dispute_cdr_count,
        sum(case when has_open_dispute then coalesce(money_at_stake, 0) else 0 end) as disputed_net,
        sum(case when not is_credit then latency_s end) as latency_s,
        max(case when not is_credit then latency_s end) as highest_latency_s,
        sum(case when not is_credit and latency_s is not null then 1 else 0 end) as latency_cdr_count,
        sum(case when not is_credit and latency_s > 86400 then 1 else 0 end) as late_24_h_cdr_count,
        sum(case when not is_credit and latency_s > 7 * 86400 then 1 else 0 end) as late_7_d_cdr_count,
        sum(case when not is_credit and latency_s > 31 * 86400 then 1 else 0 end) as late_31_d_cdr_count,
        cast(0 as decimal(18, 6)) as roaming_fee_net
    from cdrs
    where emsp_id is not null and not is_home_charging_compensation
    group by emsp_id, operator_id, local_month, currency
),

-- Fees are in the provider's currency, which need not be the one that its drivers paid in.
charged as (
    select
        billed.emsp_id,
        billed.operator_id,
        billed.local_month,
        coalesce(upper(emsps.currency), billed.currency) as currency,
        sum(
            coalesce(emsps.roaming_fee_per_kwh, 0) * billed.energy_kwh
            + coalesce(emsps.roaming_fee_per_session, 0) * billed.session_count
        ) as roaming_fee_net
    from billed
    inner join emsps on billed.emsp_id = emsps.emsp_id
    where coalesce(emsps.roaming_fee_per_kwh, emsps.roaming_fee_per_session) is not null
    group by billed.emsp_id, billed.operator_id, billed.local_month, coalesce(upper(emsps.currency), billed.currency)
),

keys as (
    select emsp_id, operator_id, local_month, currency from billed
    union distinct
    select emsp_id, operator_id, local_month, currency from charged
)

select
    keys.emsp_id,
    keys.operator_id,
    keys.local_month,
    keys.currency,
    cast(coalesce(billed.cdr_count, 0) as bigint) as cdr_count,
    cast(coalesce(billed.session_count, 0) as bigint) as session_count,
    cast(coalesce(billed.energy_kwh, 0) as decimal(18, 6)) as energy_kwh,
    cast(coalesce(billed.billed_net, 0) as decimal(18, 6)) as billed_net,
    cast(billed.billed_gross as decimal(18, 6)) as billed_gross,
    cast(billed.repriced_net as decimal(18, 6)) as repriced_net,
    cast(billed.difference_net as decimal(18, 6)) as difference_net,
    cast(coalesce(charged.roaming_fee_net, 0) as decimal(18, 6)) as roaming_fee_net,
    cast(coalesce(billed.mismatch_cdr_count, 0) as bigint) as mismatch_cdr_count,
    cast(coalesce(billed.not_auditable_cdr_count, 0) as bigint) as not_auditable_cdr_count,
    cast(coalesce(billed.open_dispute_cdr_count, 0) as bigint) as open_dispute_cdr_count,
    cast(coalesce(billed.disputed_net, 0) as decimal(18, 6)) as disputed_net,
    cast(billed.latency_s as bigint) as latency_s,
    cast(billed.highest_latency_s as bigint) as highest_latency_s,
    cast(coalesce(billed.latency_cdr_count, 0) as bigint) as latency_cdr_count,
    cast(coalesce(billed.late_24_h_cdr_count, 0) as bigint) as late_24_h_cdr_count,
    cast(coalesce(billed.late_7_d_cdr_count, 0) as bigint) as late_7_d_cdr_count,
    cast(coalesce(billed.late_31_d_cdr_count, 0) as bigint) as late_31_d_cdr_count
from keys
left join billed
    on
        keys.emsp_id = billed.emsp_id
        and keys.operator_id = billed.operator_id
        and keys.local_month = billed.local_month
        and keys.currency = billed.currency
left join charged
    on
        keys.emsp_id = charged.emsp_id
        and keys.operator_id = charged.operator_id
        and keys.local_month = charged.local_month
        and keys.currency = charged.currency
