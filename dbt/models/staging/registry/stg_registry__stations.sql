{# One row is one charging station of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('station', ['station_id']) }}
)

select
    station_id,
    site_id,
    vendor,
    model,
    serial_number,
    commissioned_on,
    decommissioned_on,
    warranty_until,
    path,
    line_number
from current_rows
