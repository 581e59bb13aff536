{# One row is one exchange rate of one day of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('fx_rate', ['on_date', 'from_currency', 'to_currency']) }}
)

select
    on_date,
    from_currency,
    to_currency,
    rate,
    path,
    line_number
from current_rows
