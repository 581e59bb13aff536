{# One row is one operator (CPO) of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('operator', ['operator_id']) }}
)

select
    operator_id,
    name,
    ocpi_party,
    path,
    line_number
from current_rows
