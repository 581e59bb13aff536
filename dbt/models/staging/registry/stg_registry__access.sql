{# One row is one role of one person of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('access', ['email', 'role', 'scope_id']) }}
)

select
    email,
    role,
    scope_id,
    path,
    line_number
from current_rows
