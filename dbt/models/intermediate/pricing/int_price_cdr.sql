{# One row is one CDR: whether the tariff engine can price it, with what, and why not. #}
with sessions as (
    select * from {{ ref('int_price_session') }}
),

periods as (
    select * from {{ ref('int_price_period') }}
),

choices as (
    select * from {{ ref('int_price_choice') }}
),

price_lists as (
    select * from {{ ref('int_price_list') }}
),

components as (
    select * from {{ ref('int_price_component') }}
),

priceable as (
    select distinct price_list_number
    from components
),

period_facts as (
    select
        cdr_number,
        count(*) as period_count,
        min(started_s) as first_started_s,
        min(case when period_rank = 1 then tariff_id_key end) as first_tariff_id_key,
        max(case when started_s is null then 1 else 0 end) = 1 as has_period_without_start,
        max(case when has_unusable_volume then 1 else 0 end) = 1 as has_unusable_volume,
        max(case when is_out_of_order then 1 else 0 end) = 1 as has_periods_out_of_order,
        max(case when is_repeated_hour then 1 else 0 end) = 1 as is_in_repeated_hour,
        max(case when is_reservation then 1 else 0 end) = 1 as has_reservation,
        max(case when is_session then 1 else 0 end) = 1 as has_session
    from periods
    group by cdr_number
),

choice_facts as (
    select
        choices.cdr_number,
        count(distinct choices.price_list_number) as tariff_count,
        max(case when choices.price_list_number is null and choices.tariff_id_key <> '' then 1 else 0 end) = 1
            as has_unknown_tariff,
        max(case when choices.price_list_number is null and choices.tariff_id_key = '' then 1 else 0 end) = 1
            as has_no_tariff,
        max(case
            when choices.price_list_number is not null and priceable.price_list_number is null then 1
            else 0
        end) = 1 as has_tariff_without_prices,
        max(case when price_lists.currency <> sessions.currency then 1 else 0 end) = 1 as has_other_currency,
        min(case when choices.is_valid_at_start then 1 else 0 end) = 1 as is_tariff_valid_at_start,
        min(case when choices.tariff_id_key = period_facts.first_tariff_id_key then choices.price_list_number end)
            as price_list_number,
        min(case when choices.tariff_id_key = period_facts.first_tariff_id_key then choices.tariff_source end)
            as tariff_source
    from choices
    inner join sessions on choices.cdr_number = sessions.cdr_number
    inner join period_facts on choices.cdr_number = period_facts.cdr_number
    left join price_lists on choices.price_list_number = price_lists.price_list_number
    left join priceable on choices.price_list_number = priceable.price_list_number
    group by choices.cdr_number
),

reasoned as (
    select
        sessions.cdr_number,
        sessions.cdr_key,
        sessions.cdr_id,
        sessions.peer,
        sessions.currency,
        sessions.named_time_zone,
        sessions.time_zone,
        sessions.time_zone_source,
        choice_facts.price_list_number,
        choice_facts.tariff_source,
        coalesce(choice_facts.tariff_count, 0) as tariff_count,
        choice_facts.is_tariff_valid_at_start,
        coalesce(period_facts.period_count, 0) as period_count,
        coalesce(period_facts.has_periods_out_of_order, false) as has_periods_out_of_order,
        coalesce(period_facts.is_in_repeated_hour, false) as is_in_repeated_hour,
        coalesce(period_facts.has_reservation and not period_facts.has_session, false) as is_unused_reservation,
        case
            when sessions.is_credit then 'credit_cdr'
            when period_facts.cdr_number is null then 'no_charging_periods'
            when period_facts.has_period_without_start then 'period_without_start'
            when period_facts.has_unusable_volume then 'unusable_volume'
            when choice_facts.has_unknown_tariff then 'unknown_tariff'
            when choice_facts.has_no_tariff then 'no_tariff'
            when choice_facts.has_tariff_without_prices then 'tariff_without_prices'
            when choice_facts.has_other_currency then 'tariff_in_other_currency'
            when sessions.time_zone is null then 'unknown_time_zone'
        end as reason
    from sessions
    left join period_facts on sessions.cdr_number = period_facts.cdr_number
    left join choice_facts on sessions.cdr_number = choice_facts.cdr_number
)

select
    cdr_number,
    cdr_key,
    cdr_id,
    peer,
    currency,
    case when reason is null then 'priced' else 'not_auditable' end as status,
    reason,
    price_list_number,
    tariff_source,
    cast(tariff_count as integer) as tariff_count,
    is_tariff_valid_at_start,
    named_time_zone,
    time_zone,
    time_zone_source,
    cast(period_count as integer) as period_count,
    has_periods_out_of_order,
    is_in_repeated_hour,
    is_unused_reservation
from reasoned
