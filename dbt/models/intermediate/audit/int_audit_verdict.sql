{# One row is one CDR with the verdict on its total: what its tariff asks for, rounded as its peer rounds, against what
   was billed. #}
with cdrs as (
    select
        *,
        {{ ocpi_party() }} as party
    from {{ ref('stg_ocpi__cdrs') }}
),

prices as (
    select * from {{ ref('int_price_cdr') }}
),

totals as (
    select * from {{ ref('int_price_cdr_total') }}
),

costs as (
    select * from {{ ref('int_audit_cost') }}
),

peers as (
    select * from {{ ref('int_audit_rounding') }}
),

policies as (
    select * from {{ ref('rounding_policies') }}
),

currencies as (
    select * from {{ ref('currencies') }}
),

-- A credit is right if it takes back what was billed.
originals as (
    select
        party,
        lower(cdr_id) as cdr_id_key,
        max(total_cost_net) as total_cost_net
    from cdrs
    where not coalesce(is_credit, false)
    group by party, lower(cdr_id)
),

stated as (
    select
        cdrs.cdr_key,
        cdrs.cdr_id,
        cdrs.peer,
        coalesce(cdrs.is_credit, false) as is_credit,
        cdrs.total_cost_net,
        originals.total_cost_net as original_net,
        originals.cdr_id_key is not null as has_original,
        {{ to_nano('cdrs.total_cost_net') }} as billed_net,
        {{ to_nano('cdrs.total_cost_gross') }} as billed_gross,
        {{ to_nano('cdrs.total_fixed_cost_net') }} as stated_fixed,
        {{ to_nano('cdrs.total_energy_cost_net') }} as stated_energy,
        {{ to_nano('cdrs.total_time_cost_net') }} as stated_time,
        {{ to_nano('cdrs.total_parking_cost_net') }} as stated_parking,
        {{ to_nano('cdrs.total_reservation_cost_net') }} as stated_reservation,
        currencies.currency is null as is_currency_unknown,
        prices.status,
        prices.tariff_source,
        prices.is_tariff_valid_at_start,
        prices.price_list_number,
        totals.reason as price_reason,
        totals.repriced_net,
        totals.repriced_gross,
        {{ to_nano('totals.lines_net') }} as lines_net,
        {{ to_nano('totals.energy_net') }} as energy_net,
        {{ to_nano('totals.time_net') }} as time_net,
        {{ to_nano('totals.parking_net') }} as parking_net,
        {{ to_nano('totals.reservation_net') }} as reservation_net,
        {{ to_nano('totals.flat_net') }} as flat_net,
        totals.min_price_net <> 0 as has_min_price,
        totals.max_price_net <> 0 as has_max_price,
        totals.has_unverifiable_restriction,
        totals.has_period_spanning_price_change,
        prices.has_periods_out_of_order,
        costs.unit,
        costs.net as exact_net,
        costs.gross as exact_gross,
        costs.stepless_net,
        policies.rounding_id,
        peers.rounding_source,
        {{ policy_net('costs', 'policies') }} as policy_net,
        -- What rounding can add up to: a cent for each charging period.
        costs.unit * greatest(prices.period_count, 1) as tolerance
    from cdrs
    inner join prices on cdrs.cdr_key = prices.cdr_key
    inner join totals on cdrs.cdr_key = totals.cdr_key
    left join costs on cdrs.cdr_key = costs.cdr_key
    left join peers on cdrs.peer = peers.peer and cdrs.party = peers.party
    left join policies on peers.rounding_id = policies.rounding_id
    left join currencies on upper(cdrs.currency) = currencies.currency
    left join originals
        on cdrs.party = originals.party and lower(cdrs.credit_reference_id) = originals.cdr_id_key
),

priced as (
    select
        stated.*,
        {{ policy_gross('costs', 'policies', 'stated.policy_net') }} as policy_gross
    from stated
    left join costs on stated.cdr_key = costs.cdr_key
    left join policies on stated.rounding_id = policies.rounding_id
),

compared as (
    select
        *,
        billed_net - policy_net as off_net,
        billed_gross - policy_gross as off_gross,
        -- OCPI's numbers have four decimals: what is smaller cannot be seen.
        case
            when policy_net is null or billed_net is null then null
            when abs(billed_net - policy_net) < 100000 then 'match'
            when abs(billed_net - exact_net) <= tolerance + 100000 then 'rounding'
            else 'mismatch'
        end as net_verdict,
        case
            when policy_gross is null or billed_gross is null then null
            when abs(billed_gross - policy_gross) < 100000 then 'match'
            when abs(billed_gross - exact_gross) <= tolerance + unit + 100000 then 'rounding'
            else 'mismatch'
        end as gross_verdict,
        stated_fixed is not null
        or stated_energy is not null
        or stated_time is not null
        or stated_parking is not null
        or stated_reservation is not null as has_parts,
        -- A part may be left out; what is left out of a priced dimension leaves the sum open.
        (stated_energy is not null or coalesce(energy_net = 0, status <> 'priced'))
        and (stated_time is not null or coalesce(time_net = 0, status <> 'priced'))
        and (stated_parking is not null or coalesce(parking_net = 0, status <> 'priced'))
        and (stated_reservation is not null or coalesce(reservation_net = 0, status <> 'priced'))
        and (stated_fixed is not null or coalesce(flat_net = 0, status <> 'priced')) as are_parts_complete,
        coalesce(stated_fixed, 0)
        + coalesce(stated_energy, 0)
        + coalesce(stated_time, 0)
        + coalesce(stated_parking, 0)
        + coalesce(stated_reservation, 0) as parts_net,
        exact_net is not null and not is_credit as is_compared,
        -- OCPI does not say which flat prices are of parking: where both are there, only their sum can be compared.
        coalesce(flat_net, 0) <> 0 and coalesce(parking_net, 0) <> 0 as is_flat_with_parking
    from priced
),

dimensioned as (
    select
        *,
        case when is_compared and not is_currency_unknown then stated_energy - energy_net end as off_energy,
        case when is_compared and not is_currency_unknown then stated_time - time_net end as off_time,
        case when is_compared and not is_currency_unknown then stated_reservation - reservation_net end
            as off_reservation,
        case when is_compared and not is_currency_unknown and not is_flat_with_parking then stated_parking - parking_net end
            as off_parking,
        case
            when not is_compared or is_currency_unknown then null
            when not is_flat_with_parking then stated_fixed - flat_net
            when stated_fixed is not null and stated_parking is not null
                then stated_fixed + stated_parking - flat_net - parking_net
        end as off_fixed
    from compared
),

judged as (
    select
        *,
        case
            when is_credit and not has_original then 'not_auditable'
            when is_credit and abs(total_cost_net + original_net) < 0.01 then 'match'
            when is_credit then 'mismatch'
            when is_currency_unknown or exact_net is null and exact_gross is null then 'not_auditable'
            when net_verdict is null and gross_verdict is null then 'not_auditable'
            when coalesce(net_verdict, 'match') = 'mismatch' or coalesce(gross_verdict, 'match') = 'mismatch'
                then 'mismatch'
            when coalesce(net_verdict, 'match') = 'rounding' or coalesce(gross_verdict, 'match') = 'rounding'
                then 'rounding'
            else 'match'
        end as audit_verdict,
        greatest(
            coalesce(abs(off_energy), 0),
            coalesce(abs(off_time), 0),
            coalesce(abs(off_parking), 0),
            coalesce(abs(off_reservation), 0),
            coalesce(abs(off_fixed), 0)
        ) > tolerance as is_dimension_off
    from dimensioned
),

flagged as (
    select
        *,
        audit_verdict = 'mismatch' and not is_credit and billed_net = 0 and exact_net > 0 as is_zero_total,
        audit_verdict = 'mismatch'
        and not is_credit
        and has_min_price
        and abs(billed_net - lines_net) <= tolerance as is_min_price_ignored,
        audit_verdict = 'mismatch'
        and not is_credit
        and has_max_price
        and abs(billed_net - lines_net) <= tolerance as is_max_price_ignored,
        -- Tax: what the tariff's rate makes of the net that was billed.
        audit_verdict in ('match', 'rounding', 'mismatch')
        and not is_credit
        and billed_net > 0
        and exact_net > 0
        and exact_gross - exact_net > tolerance
        and coalesce(billed_gross = billed_net, true) as is_vat_on_net_only,
        audit_verdict in ('match', 'rounding', 'mismatch')
        and not is_credit
        and billed_net > 0
        and exact_net > 0
        and billed_gross > billed_net
        and abs(
            (billed_gross - billed_net) - {{ wide_rounded_product('(exact_gross - exact_net)', 'billed_net', 'exact_net') }}
        ) > tolerance as is_vat_rate_off,
        -- Only where rounding up makes a difference, and its absence explains the bill.
        audit_verdict = 'mismatch'
        and not is_credit
        and net_verdict = 'mismatch'
        and abs(stepless_net - exact_net) > tolerance
        and abs(billed_net - stepless_net) <= tolerance as is_step_size_ignored,
        has_parts
        and not is_credit
        and not has_min_price
        and not has_max_price
        and (
            parts_net > billed_net + coalesce(unit, 10000000) * 5
            or are_parts_complete and parts_net < billed_net - coalesce(unit, 10000000) * 5
        ) as is_sum_of_parts_off
    from judged
)

select
    cdr_key,
    cdr_id,
    peer,
    is_credit,
    audit_verdict,
    case
        when audit_verdict = 'match' then null
        when audit_verdict = 'rounding' then 'rounding_only'
        when is_credit and audit_verdict = 'not_auditable' then 'credit_without_original'
        when is_credit then 'credit_amount_not_opposite'
        when audit_verdict = 'not_auditable' and is_currency_unknown then 'currency_unknown'
        when audit_verdict = 'not_auditable' and price_reason is not null
            then case price_reason
                when 'no_tariff' then 'tariff_missing'
                when 'unknown_tariff' then 'tariff_unknown'
                when 'tariff_without_prices' then 'tariff_without_elements'
                when 'tariff_in_other_currency' then 'currency_mismatch'
                when 'unknown_time_zone' then 'time_zone_unknown'
                else price_reason
            end
        when audit_verdict = 'not_auditable' then 'nothing_to_compare'
        when is_zero_total then 'zero_total_with_priced_tariff'
        when is_min_price_ignored then 'min_price_ignored'
        when is_max_price_ignored then 'max_price_ignored'
        when is_step_size_ignored then 'step_size_ignored'
        when coalesce(net_verdict, 'match') <> 'mismatch' and billed_gross < billed_net then 'gross_below_net'
        when coalesce(net_verdict, 'match') <> 'mismatch' and is_vat_on_net_only then 'vat_on_net_only'
        when coalesce(net_verdict, 'match') <> 'mismatch' and is_vat_rate_off then 'vat_rate_mismatch'
        when is_dimension_off then 'cost_mismatch'
        when is_sum_of_parts_off then 'total_is_not_sum_of_parts'
        when has_period_spanning_price_change then 'period_spans_price_change'
        when has_unverifiable_restriction then 'restriction_unverifiable'
        else 'total_mismatch'
    end as audit_reason,
    case
        when audit_verdict = 'not_auditable' or is_credit then 'not_auditable'
        when not has_parts then 'not_stated'
        when is_dimension_off or is_sum_of_parts_off then 'mismatch'
        else 'match'
    end as dimension_verdict,
    status,
    price_reason,
    price_list_number,
    tariff_source,
    is_tariff_valid_at_start,
    has_periods_out_of_order,
    has_unverifiable_restriction,
    has_period_spanning_price_change,
    has_original,
    original_net,
    rounding_id,
    rounding_source,
    repriced_net,
    repriced_gross,
    net_verdict,
    gross_verdict,
    is_currency_unknown,
    coalesce(is_zero_total, false) as is_zero_total,
    coalesce(is_min_price_ignored, false) as is_min_price_ignored,
    coalesce(is_max_price_ignored, false) as is_max_price_ignored,
    coalesce(is_vat_on_net_only, false) as is_vat_on_net_only,
    coalesce(is_vat_rate_off, false) as is_vat_rate_off,
    coalesce(is_step_size_ignored, false) as is_step_size_ignored,
    coalesce(is_sum_of_parts_off, false) as is_sum_of_parts_off,
    coalesce(is_flat_with_parking, false) as is_flat_with_parking,
    {{ from_nano('tolerance') }} as tolerance,
    {{ from_nano('policy_net') }} as expected_net,
    {{ from_nano('policy_gross') }} as expected_gross,
    {{ from_nano('off_net') }} as off_net,
    {{ from_nano('off_gross') }} as off_gross,
    {{ from_nano('off_energy') }} as off_energy,
    {{ from_nano('off_time') }} as off_time,
    {{ from_nano('off_parking') }} as off_parking,
    {{ from_nano('off_reservation') }} as off_reservation,
    {{ from_nano('off_fixed') }} as off_fixed,
    {{ from_nano('energy_net') }} as energy_net,
    {{ from_nano('time_net') }} as time_net,
    {{ from_nano('parking_net') }} as parking_net,
    {{ from_nano('reservation_net') }} as reservation_net,
    {{ from_nano('flat_net') }} as flat_net,
    {{ from_nano('lines_net') }} as lines_net,
    {{ from_nano('stepless_net') }} as stepless_net,
    {{ from_nano('parts_net') }} as parts_net
from flagged
