{# One row is one e-mobility service provider of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('emsp', ['emsp_id']) }}
)

select
    emsp_id,
    name,
    ocpi_party,
    roaming_fee_per_kwh,
    roaming_fee_per_session,
    currency,
    path,
    line_number
from current_rows
