{# One row is one thing that the registry says twice, and what was made of it. #}
{% set keys = {
    'owner': ['owner_id'],
    'operator': ['operator_id'],
    'emsp': ['emsp_id'],
    'site': ['site_id'],
    'station': ['station_id'],
    'port': ['port_id'],
    'contract': ['contract_id'],
    'cost': ['cost_id'],
    'energy_price': ['site_id', 'valid_from', 'days', 'from_time'],
    'hourly_price': ['price_series_id', 'started_at', 'started_at_local'],
    'exclusion': ['exclusion_id'],
    'sla_policy': ['policy_id'],
    'business_case': ['site_id', 'month'],
    'access': ['email', 'role', 'scope_id'],
    'fx_rate': ['on_date', 'from_currency', 'to_currency'],
} %}
with landed as (
    select *
    from {{ source('meta', 'landed_file') }}
    where kind = 'registry' and is_current
),

ports as (
    select *
    from {{ ref('stg_registry__ports') }}
),

sites as (
    select *
    from {{ ref('stg_registry__sites') }}
),

own_policies as (
    select *
    from {{ ref('stg_registry__sla_policies') }}
),

built_in_policies as (
    select *
    from {{ ref('sla_policies') }}
),

delivered as (
    {%- for table, columns in keys.items() %}
    select
        '{{ table }}' as table_name,
        concat_ws(
            ', '
            {%- for column in columns %},
            coalesce(cast(delivered.{{ column }} as varchar), '(empty)')
            {%- endfor %}
        ) as id,
        landed.path
    from {{ source('registry', table) }} as delivered
    inner join landed
        on delivered.source_id = landed.source_id
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

repeated as (
    select
        'repeated_id' as kind,
        table_name,
        id,
        'in ' || cast(count(*) as varchar) || ' current files; the row of ' || max(path) || ' is used' as detail
    from delivered
    group by table_name, id
    having count(*) > 1
),

claims as (
    select
        station_id,
        port_id,
        {{ words_of('ocpp_connector_ids') }} as word
    from ports
),

claimed as (
    select
        'connector_claimed_twice' as kind,
        'port' as table_name,
        station_id || ' ' || word as id,
        'claimed by ' || {{ joined_words('port_id') }} || '; ' || min(port_id) || ' is used' as detail
    from claims
    group by station_id, word
    having count(distinct port_id) > 1
),

locations as (
    select
        'location_claimed_twice' as kind,
        'site' as table_name,
        lower(ocpi_location_id) as id,
        'claimed by ' || {{ joined_words('site_id') }}
        || '; of sites whose operator owns the Location, the first is used' as detail
    from sites
    where ocpi_location_id is not null
    group by lower(ocpi_location_id)
    having count(*) > 1
),

taken as (
    select
        'policy_id_taken' as kind,
        'sla_policy' as table_name,
        own_policies.policy_id as id,
        'is a built-in policy, which is used; give your own another id' as detail
    from own_policies
    inner join built_in_policies
        on own_policies.policy_id = built_in_policies.policy_id
)

select kind, table_name, id, detail from repeated
union all
select kind, table_name, id, detail from claimed
union all
select kind, table_name, id, detail from locations
union all
select kind, table_name, id, detail from taken
