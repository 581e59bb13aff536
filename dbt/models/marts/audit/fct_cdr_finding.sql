{# One row is one finding on one CDR: a defect of the catalogue, what was expected and what was found. A CDR that could
   not be read has its finding without a key, and a completed Session without CDR has one too. #}
{% set checks = [
    ('currency_unknown', 'is_currency_unknown', none, "'a code of ISO 4217'", 'currency', none, none, 'billed_net'),
    ('currency_mismatch', "price_reason = 'tariff_in_other_currency'", "'tariff'", "'the currency of the tariff'",
        'currency', none, none, 'billed_net'),
    ('currency_mismatch', 'is_currency_foreign', "'location'", "'legal tender in ' || location_country", 'currency',
        none, none, none),
    ('time_zone_unknown', "price_reason = 'unknown_time_zone'", none, "'an IANA time zone'", 'named_time_zone', none,
        none, none),
    ('duplicate_same_payload', 'delivery_count > 1', none, "'1 delivery'",
        "cast(delivery_count as varchar) || ' deliveries'", 'delivery_count - 1', 'deliveries', none),
    ('duplicate_changed_payload', 'version_count > 1', none, "'1 version'",
        "cast(version_count as varchar) || ' versions, first with ' || cast(first_net as varchar)",
        'billed_net - first_net', 'net', 'abs(billed_net - first_net)'),
    ('same_session_two_cdrs', 'is_session_billed_before', none, "'1 CDR of the session'",
        "'another CDR of session ' || coalesce(ocpi_session_id, session_id)", none, none, 'abs(billed_net)'),
    ('credit_without_original', 'is_credit and not has_original', none, "'the CDR it takes back'",
        "coalesce(credit_reference_id, 'no credit_reference_id')", none, none, 'abs(billed_net)'),
    ('credit_amount_not_opposite', "is_credit and audit_reason = 'credit_amount_not_opposite'", none,
        'cast(-original_net as varchar)', 'cast(sent_net as varchar)', 'sent_net + original_net', 'net',
        'abs(sent_net + original_net)'),
    ('credit_twice', 'not is_credit and credit_count > 1', none, "'1 credit'",
        "cast(credit_count as varchar) || ' credits'", 'credit_count - 1', 'credits',
        '(credit_count - 1) * abs(billed_net)'),
    ('end_before_start', 'span_s < 0', none, "'an end after ' || cast(started_at as varchar)",
        'cast(ended_at as varchar)', 'span_s', 's', none),
    ('zero_duration', 'span_s = 0', none, "'an end after the start'", 'cast(ended_at as varchar)', '0', 's', none),
    ('future', 'is_future', none, "'a charge that is over'", 'cast(greatest(started_at, ended_at) as varchar)', none,
        none, 'abs(billed_net)'),
    ('before_2009', 'is_before_2009', none, "'a start after 2009'", 'cast(least(started_at, ended_at) as varchar)',
        none, none, none),
    ('total_time_mismatch', 'time_off_h is not null', none, 'cast(round(span_s / 3600.0, 4) as varchar)',
        'cast(total_time_h as varchar)', 'time_off_h', 'h', none),
    ('period_outside_session', 'is_period_outside', none,
        "cast(started_at as varchar) || ' to ' || cast(ended_at as varchar)",
        "cast(first_period_at as varchar) || ' to ' || cast(last_period_at as varchar)", none, none, none),
    ('periods_out_of_order', 'has_periods_out_of_order', none, "'in the order of their start'", "'another order'", none,
        none, none),
    ('overlap_same_connector', 'overlap_s is not null', none, "'one vehicle at a time'",
        "cast(overlap_s as varchar) || ' s with the CDR before'", 'overlap_s', 's', 'abs(billed_net)'),
    ('overlap_same_token_far_apart', 'distance_km is not null', none, "'one place at a time'",
        "cast(cast(distance_km as integer) as varchar) || ' km away'", 'distance_km', 'km', 'abs(billed_net)'),
    ('session_too_long', 'too_long_s is not null', none, "'a charge that ends'",
        "cast(cast(floor(too_long_s / 86400.0) as bigint) as varchar) || ' days'", 'too_long_s / 86400.0', 'd', none),
    ('local_time_sent_as_utc', 'zone_shift_s is not null', none, "'UTC'",
        "cast(zone_shift_s as varchar) || ' s from the log: the offset of ' || time_zone", 'zone_shift_s', 's', none),
    ('negative_energy', 'is_energy_negative', none, "'at least 0'", 'cast(total_energy_kwh as varchar)',
        'total_energy_kwh', 'kWh', 'abs(billed_net)'),
    ('zero_kwh_with_cost', 'is_cost_without_energy', none, "'energy for its cost'", "'0 kWh'", '0', 'kWh',
        'abs(billed_net)'),
    ('energy_sum_mismatch', 'energy_off_kwh is not null', none, 'cast(period_energy_kwh as varchar)',
        'cast(total_energy_kwh as varchar)', 'energy_off_kwh', 'kWh',
        'abs(billed_net * cast(energy_off_kwh as double) / nullif(greatest(abs(total_energy_kwh), abs(period_energy_kwh)), 0))'),
    ('implied_power', 'implied_power_kw is not null', none, "'at most ' || cast(max_power_kw as varchar)",
        'cast(cast(implied_power_kw as decimal(18, 3)) as varchar)', 'implied_power_kw - max_power_kw', 'kW',
        'abs(billed_net * (1 - cast(max_power_kw as double) / nullif(implied_power_kw, 0)))'),
    ('kwh_is_wh', 'is_wh', none, "'kWh'", 'cast(total_energy_kwh as varchar)', 'total_energy_kwh * 0.999', 'kWh',
        'abs(billed_net) * 0.999'),
    ('hours_are_minutes', 'is_minutes', none, 'cast(round(span_s / 3600.0, 4) as varchar)',
        'cast(total_time_h as varchar)', 'total_time_h - span_s / 3600.0', 'h', none),
    ('hours_are_seconds', 'is_seconds', none, 'cast(round(span_s / 3600.0, 4) as varchar)',
        'cast(total_time_h as varchar)', 'total_time_h - span_s / 3600.0', 'h', none),
    ('total_mismatch', "net_verdict = 'mismatch' and audit_verdict = 'mismatch' and not is_credit", "'net'",
        'cast(expected_net as varchar)', 'cast(billed_net as varchar)', 'off_net', 'net', 'abs(off_net)'),
    ('total_mismatch',
        "gross_verdict = 'mismatch' and audit_verdict = 'mismatch' and net_verdict is null and not is_credit",
        "'gross'", 'cast(expected_gross as varchar)', 'cast(billed_gross as varchar)', 'off_gross', 'gross',
        'abs(off_gross)'),
    ('total_is_not_sum_of_parts', 'is_sum_of_parts_off', none, 'cast(parts_net as varchar)',
        'cast(billed_net as varchar)', 'billed_net - parts_net', 'net', 'abs(billed_net - parts_net)'),
    ('zero_total_with_priced_tariff', 'is_zero_total', none, 'cast(expected_net as varchar)', "'0'", 'off_net',
        'net', 'abs(off_net)'),
    ('cost_mismatch', 'abs(off_energy) > tolerance', "'ENERGY'", 'cast(energy_net as varchar)',
        'cast(energy_net + off_energy as varchar)', 'off_energy', 'net', 'abs(off_energy)'),
    ('cost_mismatch', 'abs(off_time) > tolerance', "'TIME'", 'cast(time_net as varchar)',
        'cast(time_net + off_time as varchar)', 'off_time', 'net', 'abs(off_time)'),
    ('cost_mismatch', 'abs(off_parking) > tolerance', "'PARKING_TIME'", 'cast(parking_net as varchar)',
        'cast(parking_net + off_parking as varchar)', 'off_parking', 'net', 'abs(off_parking)'),
    ('cost_mismatch', 'abs(off_reservation) > tolerance', "'RESERVATION'", 'cast(reservation_net as varchar)',
        'cast(reservation_net + off_reservation as varchar)', 'off_reservation', 'net', 'abs(off_reservation)'),
    ('cost_mismatch', 'abs(off_fixed) > tolerance',
        "case when is_flat_with_parking then 'FLAT and PARKING_TIME' else 'FLAT' end",
        'cast(flat_net + case when is_flat_with_parking then parking_net else 0 end as varchar)',
        'cast(flat_net + case when is_flat_with_parking then parking_net else 0 end + off_fixed as varchar)',
        'off_fixed', 'net', 'abs(off_fixed)'),
    ('step_size_ignored', 'is_step_size_ignored', none, 'cast(expected_net as varchar)',
        'cast(billed_net as varchar)', 'off_net', 'net', 'abs(off_net)'),
    ('vat_rate_mismatch', 'is_vat_rate_off', none, 'cast(expected_gross as varchar)',
        'cast(billed_gross as varchar)', 'off_gross - off_net', 'tax', 'abs(off_gross - off_net)'),
    ('vat_on_net_only', 'is_vat_on_net_only', none, 'cast(expected_gross as varchar)',
        "coalesce(cast(billed_gross as varchar), 'no amount after taxes')",
        'coalesce(billed_gross, billed_net) - expected_gross', 'tax',
        'abs(coalesce(billed_gross, billed_net) - expected_gross)'),
    ('gross_below_net', 'not is_credit and billed_gross < billed_net', none,
        "'at least ' || cast(billed_net as varchar)", 'cast(billed_gross as varchar)', 'billed_gross - billed_net',
        'tax', 'billed_net - billed_gross'),
    ('min_price_ignored', 'is_min_price_ignored', none, 'cast(expected_net as varchar)',
        'cast(billed_net as varchar)', 'off_net', 'net', 'abs(off_net)'),
    ('max_price_ignored', 'is_max_price_ignored', none, 'cast(expected_net as varchar)',
        'cast(billed_net as varchar)', 'off_net', 'net', 'abs(off_net)'),
    ('rounding_only', "audit_verdict = 'rounding'", none,
        'coalesce(cast(expected_net as varchar), cast(expected_gross as varchar))',
        'coalesce(cast(billed_net as varchar), cast(billed_gross as varchar))', 'coalesce(off_net, off_gross)', 'net',
        'abs(coalesce(off_net, off_gross))'),
    ('tariff_missing', "price_reason = 'no_tariff'", none, "'a tariff'", "'none'", none, none, none),
    ('tariff_unknown', "price_reason = 'unknown_tariff'", none, "'a tariff that is known'", "'an unknown id'", none, none,
        'abs(billed_net)'),
    ('tariff_expired', "status = 'priced' and not is_tariff_valid_at_start", none, "'a tariff valid at the start'",
        "'one that was not'", none, none, none),
    ('restriction_unverifiable', 'has_unverifiable_restriction', none, "'current or power of the period'", "'nothing'",
        none, none, none),
    ('period_spans_price_change', 'has_period_spanning_price_change', none, "'a new period where a price changes'",
        "'one period'", none, none, none),
    ('late_24_h', "late_defect_id = 'late_24_h'", none, "'within a day'",
        "cast(cast(floor(latency_s / 3600.0) as bigint) as varchar) || ' hours'", 'latency_s', 's', none),
    ('late_7_d', "late_defect_id = 'late_7_d'", none, "'within a day'",
        "cast(cast(floor(latency_s / 86400.0) as bigint) as varchar) || ' days'", 'latency_s', 's', none),
    ('late_31_d', "late_defect_id = 'late_31_d'", none, "'within a day'",
        "cast(cast(floor(latency_s / 86400.0) as bigint) as varchar) || ' days'", 'latency_s', 's', none),
    ('arrived_after_statement', 'is_after_statement', none, "'before the statement of ' || cast(local_month as varchar)",
        'cast(last_updated_at as varchar)', 'latency_s', 's', 'abs(billed_net)'),
    ('cdr_without_session', 'is_ocpi_session_unknown and not is_credit', none, "'a Session ' || ocpi_session_id",
        "'none'", none, none, 'abs(billed_net)'),
    ('session_invalid_with_cdr', 'is_session_invalid and not is_credit', none, "'no bill of an INVALID Session'",
        "'a CDR'", none, none, 'abs(billed_net)'),
    ('location_unknown', 'is_location_unknown', none, "'a location that is known'", 'location_id', none, none, none),
    ('owner_unmapped', 'is_owner_unmapped', none, "'an owner'", "'none'", none, none, none),
    ('evse_id_changed', 'is_evse_id_changed', none, 'offered_evse_id', 'evse_id', none, none, none),
] %}
with delivered as (
    select * from {{ ref('stg_ocpi__cdrs') }}
),

placed as (
    select * from {{ ref('int_cdrs') }}
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

unread as (
    select * from {{ ref('int_audit_unread') }}
),

unbilled as (
    select * from {{ ref('int_audit_unbilled_session') }}
),

defects as (
    select * from {{ ref('cdr_defects') }}
),

as_of as (
    select * from {{ ref('int_as_of') }}
),

cdrs as (
    select
        placed.cdr_key,
        placed.currency,
        placed.billed_net,
        placed.billed_gross,
        delivered.total_cost_net as sent_net,
        placed.is_credit,
        placed.credit_reference_id,
        placed.started_at,
        placed.ended_at,
        placed.time_zone,
        placed.last_updated_at,
        cast(date_trunc('month', placed.local_date) as date) as local_month,
        delivered.defects,
        prices.named_time_zone,
        verdicts.audit_reason,
        verdicts.audit_verdict,
        verdicts.energy_net,
        verdicts.expected_gross,
        verdicts.expected_net,
        verdicts.flat_net,
        verdicts.gross_verdict,
        verdicts.has_original,
        verdicts.has_period_spanning_price_change,
        verdicts.has_periods_out_of_order,
        verdicts.has_unverifiable_restriction,
        verdicts.is_currency_unknown,
        verdicts.is_flat_with_parking,
        verdicts.is_max_price_ignored,
        verdicts.is_min_price_ignored,
        verdicts.is_step_size_ignored,
        verdicts.is_sum_of_parts_off,
        verdicts.is_tariff_valid_at_start,
        verdicts.is_vat_on_net_only,
        verdicts.is_vat_rate_off,
        verdicts.is_zero_total,
        verdicts.net_verdict,
        verdicts.off_energy,
        verdicts.off_fixed,
        verdicts.off_gross,
        verdicts.off_net,
        verdicts.off_parking,
        verdicts.off_reservation,
        verdicts.off_time,
        verdicts.original_net,
        verdicts.parking_net,
        verdicts.parts_net,
        verdicts.price_reason,
        verdicts.reservation_net,
        verdicts.status,
        verdicts.time_net,
        verdicts.tolerance,
        evidence.credit_count,
        evidence.delivery_count,
        evidence.distance_km,
        evidence.energy_off_kwh,
        evidence.evse_id,
        evidence.first_net,
        evidence.first_period_at,
        evidence.implied_power_kw,
        evidence.is_after_statement,
        evidence.is_before_2009,
        evidence.is_cost_without_energy,
        evidence.is_currency_foreign,
        evidence.is_energy_negative,
        evidence.is_evse_id_changed,
        evidence.is_future,
        evidence.is_location_unknown,
        evidence.is_minutes,
        evidence.is_ocpi_session_unknown,
        evidence.is_owner_unmapped,
        evidence.is_period_outside,
        evidence.is_seconds,
        evidence.is_session_billed_before,
        evidence.is_session_invalid,
        evidence.is_wh,
        evidence.last_period_at,
        evidence.late_defect_id,
        evidence.latency_s,
        evidence.location_country,
        evidence.location_id,
        evidence.max_power_kw,
        evidence.ocpi_session_id,
        evidence.offered_evse_id,
        evidence.overlap_s,
        evidence.period_energy_kwh,
        evidence.session_id,
        evidence.span_s,
        evidence.time_off_h,
        evidence.too_long_s,
        evidence.total_energy_kwh,
        evidence.total_time_h,
        evidence.version_count,
        evidence.zone_shift_s
    from placed
    inner join delivered on placed.cdr_key = delivered.cdr_key
    inner join prices on placed.cdr_key = prices.cdr_key
    inner join verdicts on placed.cdr_key = verdicts.cdr_key
    inner join evidence on placed.cdr_key = evidence.cdr_key
),

noted_parts as (
    select
        cdr_key,
        {{ words_of('defects') }} as note
    from cdrs
    where defects is not null
),

noted as (
    select
        cdr_key,
        substr(note, 1, strpos(note, ':') - 1) as defect_id,
        {{ joined_words("substr(note, strpos(note, ':') + 1)") }} as fields
    from noted_parts
    group by cdr_key, substr(note, 1, strpos(note, ':') - 1)
),

found as (
    select
        cdr_key,
        defect_id,
        cast(null as varchar) as dimension,
        'as OCPI has it' as expected_text,
        fields as found_text,
        cast(null as decimal(18, 6)) as difference,
        cast(null as varchar) as unit,
        cast(null as decimal(18, 6)) as money_at_stake
    from noted
    {%- for id, condition, dimension, expected, found, difference, unit, money in checks %}
    union all
    select
        cdr_key,
        '{{ id }}' as defect_id,
        {{ dimension or 'cast(null as varchar)' }} as dimension,
        {{ expected }} as expected_text,
        {{ found }} as found_text,
        try_cast({{ difference or 'null' }} as decimal(18, 6)) as difference,
        {{ "'" ~ unit ~ "'" if unit else 'cast(null as varchar)' }} as unit,
        try_cast({{ money or 'null' }} as decimal(18, 6)) as money_at_stake
    from cdrs
    where {{ condition }}
    {%- endfor %}
),

told as (
    select
        found.cdr_key,
        placed.cdr_id,
        placed.peer,
        placed.country_code,
        placed.party_id,
        placed.site_id,
        placed.owner_id,
        placed.operator_id,
        placed.emsp_id,
        placed.ocpi_session_id,
        found.defect_id,
        found.dimension,
        found.expected_text,
        found.found_text,
        found.difference,
        found.unit,
        found.money_at_stake,
        placed.currency,
        placed.local_date,
        placed.last_updated_at,
        cast(null as varchar) as source_id,
        cast(null as bigint) as record_number
    from found
    inner join placed on found.cdr_key = placed.cdr_key
    union all
    select
        cast(null as varchar) as cdr_key,
        cdr_id,
        peer,
        country_code,
        party_id,
        'unmapped' as site_id,
        'unmapped' as owner_id,
        'unmapped' as operator_id,
        cast(null as varchar) as emsp_id,
        cast(null as varchar) as ocpi_session_id,
        defect_id,
        cast(null as varchar) as dimension,
        expected_text,
        found_text,
        cast(null as decimal(18, 6)) as difference,
        cast(null as varchar) as unit,
        cast(null as decimal(18, 6)) as money_at_stake,
        'XXX' as currency,
        cast(null as date) as local_date,
        cast(null as timestamptz) as last_updated_at,
        source_id,
        record_number
    from unread
    union all
    select
        cast(null as varchar) as cdr_key,
        cast(null as varchar) as cdr_id,
        peer,
        country_code,
        party_id,
        site_id,
        owner_id,
        operator_id,
        emsp_id,
        ocpi_session_id,
        'session_without_cdr' as defect_id,
        cast(null as varchar) as dimension,
        'a CDR within ' || cast(allowed_days as varchar) || ' days' as expected_text,
        'none' as found_text,
        cast(age_days as decimal(18, 6)) as difference,
        'd' as unit,
        total_cost_net as money_at_stake,
        currency,
        local_date,
        last_updated_at,
        cast(null as varchar) as source_id,
        cast(null as bigint) as record_number
    from unbilled
)

select
    md5(concat_ws(
        '|',
        told.defect_id,
        coalesce(told.cdr_key, ''),
        coalesce(told.dimension, ''),
        coalesce(told.source_id, ''),
        coalesce(cast(told.record_number as varchar), ''),
        case when told.cdr_key is null then lower(concat_ws('*', told.peer, told.country_code, told.party_id)) else '' end,
        case when told.cdr_key is null then coalesce(lower(told.ocpi_session_id), '') else '' end
    )) as finding_key,
    told.cdr_key,
    told.cdr_id,
    told.peer,
    told.country_code,
    told.party_id,
    told.site_id,
    told.owner_id,
    told.operator_id,
    told.emsp_id,
    told.ocpi_session_id,
    told.defect_id,
    defects.defect_group,
    defects.severity,
    told.dimension,
    told.expected_text,
    told.found_text,
    told.difference,
    told.unit,
    told.money_at_stake,
    told.currency,
    told.local_date,
    told.last_updated_at,
    greatest({{ whole_days('told.last_updated_at', 'as_of.as_of_at') }}, 0) as age_days,
    defects.is_disputable,
    case when defects.is_disputable then told.last_updated_at + defects.dispute_days * interval '1' day end
        as dispute_until_at,
    defects.is_disputable
    and coalesce(told.last_updated_at + defects.dispute_days * interval '1' day > as_of.as_of_at, false)
        as is_dispute_open
from told
inner join defects on told.defect_id = defects.defect_id
cross join as_of
