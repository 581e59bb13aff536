{# One row is one time that does not count as downtime of the registry as it stands now. #}
{# Times without an offset are on the site's clock; where the site is not known, on the default zone's. #}
{% set zone = 'coalesce(sites.time_zone, ' ~ default_time_zone() ~ ')' %}
with current_rows as (
    {{ current_registry_rows('exclusion', ['exclusion_id']) }}
),

ports as (
    select *
    from {{ ref('stg_registry__ports') }}
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
    current_rows.exclusion_id,
    current_rows.scope,
    current_rows.scope_id,
    coalesce(
        current_rows.started_at,
        {{ instant_on_clock('current_rows.started_at_local', zone) }}
    ) as started_at,
    coalesce(
        current_rows.ended_at,
        {{ instant_on_clock('current_rows.ended_at_local', zone) }}
    ) as ended_at,
    current_rows.reason,
    current_rows.evidence,
    current_rows.approved_by,
    current_rows.path,
    current_rows.line_number
from current_rows
left join ports
    on current_rows.scope = 'port' and current_rows.scope_id = ports.port_id
left join stations
    on
        current_rows.scope in ('port', 'station')
        and stations.station_id = case current_rows.scope when 'port' then ports.station_id else current_rows.scope_id end
left join sites
    on sites.site_id = case current_rows.scope when 'site' then current_rows.scope_id else stations.site_id end
