{# One row is one owner of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('owner', ['owner_id']) }}
)

select
    owner_id,
    name,
    country_code,
    currency,
    email,
    path,
    line_number
from current_rows
