{# One row is one cost, grant or credit of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('cost', ['cost_id']) }}
)

select
    cost_id,
    site_id,
    station_id,
    kind,
    category,
    amount,
    currency,
    incurred_on,
    coalesce(recurs, 'once') as recurs,
    ends_on,
    path,
    line_number
from current_rows
