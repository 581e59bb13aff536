{# One row is one price of bought energy for a span of days and hours of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('energy_price', ['site_id', 'valid_from', 'days', 'from_time']) }}
)

select
    site_id,
    valid_from,
    valid_to,
    days,
    from_time,
    to_time,
    price_per_kwh,
    demand_charge_per_kw_month,
    demand_ratchet_ratio,
    fixed_fee_per_month,
    price_series_id,
    currency,
    path,
    line_number
from current_rows
