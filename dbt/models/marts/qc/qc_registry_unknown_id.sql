{# One row is one id in a registry file that the file it points to does not have. #}
{% set checks = [
    ('sites', 'owner_id', 'stg_registry__owners', 'owner_id', none),
    ('sites', 'operator_id', 'stg_registry__operators', 'operator_id', none),
    ('stations', 'site_id', 'stg_registry__sites', 'site_id', none),
    ('ports', 'station_id', 'stg_registry__stations', 'station_id', none),
    ('contracts', 'site_id', 'stg_registry__sites', 'site_id', none),
    ('contracts', 'station_id', 'stg_registry__stations', 'station_id', none),
    ('contracts', 'owner_id', 'stg_registry__owners', 'owner_id', none),
    ('contracts', 'operator_id', 'stg_registry__operators', 'operator_id', none),
    ('contracts', 'sla_policy_id', 'dim_sla_policy', 'policy_id', none),
    ('costs', 'site_id', 'stg_registry__sites', 'site_id', none),
    ('costs', 'station_id', 'stg_registry__stations', 'station_id', none),
    ('energy_prices', 'site_id', 'stg_registry__sites', 'site_id', none),
    ('business_cases', 'site_id', 'stg_registry__sites', 'site_id', none),
    ('exclusions', 'scope_id', 'stg_registry__sites', 'site_id', "scope = 'site'"),
    ('exclusions', 'scope_id', 'stg_registry__stations', 'station_id', "scope = 'station'"),
    ('exclusions', 'scope_id', 'dim_port', 'port_id', "scope = 'port'"),
    ('access', 'scope_id', 'stg_registry__owners', 'owner_id', "role = 'owner'"),
    ('access', 'scope_id', 'stg_registry__operators', 'operator_id', "role = 'operator'"),
    ('access', 'scope_id', 'stg_registry__emsps', 'emsp_id', "role = 'emsp'"),
] %}
with found as (
    {%- for table, column, target, target_column, condition in checks %}
    select
        '{{ table }}' as table_name,
        '{{ column }}' as column_name,
        pointing.{{ column }} as id,
        pointing.path,
        pointing.line_number
    from {{ ref('stg_registry__' ~ table) }} as pointing
    left join {{ ref(target) }} as known
        on pointing.{{ column }} = known.{{ target_column }}
    where
        pointing.{{ column }} is not null
        and known.{{ target_column }} is null
        {% if condition %}and pointing.{{ condition }}{% endif %}
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
)

select
    table_name,
    column_name,
    id,
    path || ' line ' || cast(line_number as varchar) as found_in
from found
