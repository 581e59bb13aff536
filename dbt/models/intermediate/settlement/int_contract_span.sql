{# One row is one station, or a site as a whole, for a span of local dates under one contract. #}
{# A contract of the station goes before one of its site; of two that overlap, the one that began later holds, as
   qc_settlement tells. #}
with sites as (
    select * from {{ ref('dim_site') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

contracts as (
    select * from {{ ref('dim_contract') }}
    where valid_to is null or valid_to > valid_from
),

subjects as (
    select
        site_id,
        cast(null as varchar) as station_id
    from sites
    union all
    select
        site_id,
        station_id
    from stations
),

candidates as (
    select
        subjects.site_id,
        subjects.station_id,
        contracts.contract_id,
        contracts.station_id as contract_station_id,
        contracts.valid_from,
        contracts.valid_to
    from subjects
    inner join contracts
        on
            subjects.site_id = contracts.site_id
            and (contracts.station_id is null or contracts.station_id = subjects.station_id)
),

edges as (
    select
        site_id,
        station_id,
        valid_from as from_on
    from candidates
    union
    select
        site_id,
        station_id,
        valid_to as from_on
    from candidates
    where valid_to is not null
),

spans as (
    select
        site_id,
        station_id,
        from_on,
        lead(from_on) over (partition by site_id, station_id order by from_on) as to_on
    from edges
)

select
    spans.site_id,
    spans.station_id,
    spans.from_on,
    spans.to_on,
    candidates.contract_id
from spans
inner join candidates
    on
        spans.site_id = candidates.site_id
        and coalesce(spans.station_id, '') = coalesce(candidates.station_id, '')
        and spans.from_on >= candidates.valid_from
        and (candidates.valid_to is null or spans.from_on < candidates.valid_to)
qualify row_number() over (
    partition by spans.site_id, spans.station_id, spans.from_on
    order by
        case when candidates.contract_station_id is null then 1 else 0 end,
        candidates.valid_from desc,
        candidates.contract_id desc
) = 1
