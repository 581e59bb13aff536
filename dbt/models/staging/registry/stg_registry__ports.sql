{# One row is one port (EVSE) of the registry as it stands now. #}
{# Times without an offset are on the site's clock; where the site is not known, on the default zone's. #}
{% set zone = 'coalesce(sites.time_zone, ' ~ default_time_zone() ~ ')' %}
with current_rows as (
    {{ current_registry_rows('port', ['port_id']) }}
),

stations as (
    select *
    from {{ ref('stg_registry__stations') }}
),

sites as (
    select *
    from {{ ref('stg_registry__sites') }}
)

select
    current_rows.port_id,
    current_rows.station_id,
    current_rows.ocpp_connector_ids,
    current_rows.ocpi_evse_uid,
    current_rows.power_type,
    current_rows.max_power_kw,
    current_rows.connector_standards,
    coalesce(
        current_rows.commissioned_at,
        {{ instant_on_clock('current_rows.commissioned_at_local', zone) }}
    ) as commissioned_at,
    coalesce(
        current_rows.decommissioned_at,
        {{ instant_on_clock('current_rows.decommissioned_at_local', zone) }}
    ) as decommissioned_at,
    current_rows.funding,
    current_rows.path,
    current_rows.line_number
from current_rows
left join stations
    on current_rows.station_id = stations.station_id
left join sites
    on stations.site_id = sites.site_id
