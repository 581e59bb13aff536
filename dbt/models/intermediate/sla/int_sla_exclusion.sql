{# One row is one record of exclusions.csv and one port that it is about. #}
with exclusions as (
    select *
    from {{ ref('stg_registry__exclusions') }}
),

ports as (
    select *
    from {{ ref('dim_port') }}
)

select
    exclusions.exclusion_id,
    ports.port_id,
    exclusions.reason,
    {{ whole_second('exclusions.started_at') }} as started_at,
    {{ whole_second('exclusions.ended_at') }} as ended_at,
    exclusions.evidence,
    exclusions.approved_by,
    exclusions.evidence is not null as has_evidence
from exclusions
inner join ports
    on
        exclusions.scope_id
        = case exclusions.scope when 'port' then ports.port_id when 'station' then ports.station_id else ports.site_id end
where exclusions.ended_at > exclusions.started_at
