{# One row is one site of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('site', ['site_id']) }}
)

select
    site_id,
    name,
    owner_id,
    operator_id,
    time_zone,
    country_code,
    currency,
    latitude,
    longitude,
    address,
    city,
    postal_code,
    opening_hours,
    grid_connection_kw,
    ocpi_location_id,
    path,
    line_number
from current_rows
