{# One row is one price of a series of wholesale prices of the registry as it stands now. #}
{# Times without an offset are on the default zone's clock. #}
with current_rows as (
    {{ current_registry_rows('hourly_price', ['price_series_id', 'started_at', 'started_at_local']) }}
)

select
    price_series_id,
    coalesce(started_at, {{ instant_on_clock('started_at_local', default_time_zone()) }}) as started_at,
    price_per_kwh,
    currency,
    path,
    line_number
from current_rows
