{# One row is one OCPP connector (2.x: EVSE and connector) and the port it belongs to. #}
{# Registered ports name theirs in ocpp_connector_ids: `2` is connector 2 of a 1.6 station, or EVSE 2 with all its
   connectors of a 2.x station; `2/1` is connector 1 of EVSE 2, and messages that name EVSE 2 alone are its too. What the
   registry does not name is a port of its own: `<station>/<EVSE or connector>`. #}
with ports as (
    select *
    from {{ ref('stg_registry__ports') }}
),

seen as (
    select *
    from {{ ref('int_connector_seen') }}
),

words as (
    select
        port_id,
        station_id,
        {{ words_of('ocpp_connector_ids') }} as word
    from ports
),

claims as (
    select
        port_id,
        station_id,
        word,
        cast(split_part(word, '/', 1) as integer) as first_number,
        cast(nullif(split_part(word, '/', 2), '') as integer) as connector_number,
        min(port_id) over (partition by station_id, split_part(word, '/', 1))
        = max(port_id) over (partition by station_id, split_part(word, '/', 1)) as is_only_port_of_evse
    from words
),

claimed as (
    select
        seen.station_id,
        seen.evse_id,
        seen.connector_id,
        claims.port_id,
        claims.word,
        case when claims.connector_number = seen.connector_id then 1 else 2 end as match_rank
    from seen
    inner join claims
        on
            seen.station_id = claims.station_id
            and coalesce(seen.evse_id, seen.connector_id) = claims.first_number
            and case
                when claims.connector_number is null then true
                -- `EVSE/connector` says nothing about a 1.6 connector
                when seen.evse_id is null then false
                when seen.connector_id is null or seen.connector_id = claims.connector_number then true
                -- a connector that the registry forgot: an EVSE serves one vehicle, so it is the same port
                else claims.is_only_port_of_evse
            end
),

-- two ports that claim one connector: the exact claim, then the first id; qc_registry_conflict tells
kept as (
    select
        station_id,
        evse_id,
        connector_id,
        port_id
    from claimed
    qualify row_number() over (
        partition by station_id, evse_id, connector_id
        order by match_rank, port_id
    ) = 1
),

stations_of_2x as (
    select distinct station_id
    from seen
    where evse_id is not null
),

-- registered, but no message has named it yet
silent as (
    select
        claims.station_id,
        case when claims.connector_number is not null or stations_of_2x.station_id is not null then claims.first_number end
            as evse_id,
        case
            when claims.connector_number is not null then claims.connector_number
            when stations_of_2x.station_id is null then claims.first_number
        end as connector_id,
        min(claims.port_id) as port_id
    from claims
    left join stations_of_2x
        on claims.station_id = stations_of_2x.station_id
    left join claimed
        on claims.port_id = claimed.port_id and claims.word = claimed.word
    where claimed.port_id is null
    group by 1, 2, 3
),

unmapped as (
    select
        seen.station_id,
        seen.evse_id,
        seen.connector_id,
        seen.station_id || '/' || cast(coalesce(seen.evse_id, seen.connector_id) as varchar) as port_id
    from seen
    left join kept
        on
            seen.station_id = kept.station_id
            and coalesce(seen.evse_id, -1) = coalesce(kept.evse_id, -1)
            and coalesce(seen.connector_id, -1) = coalesce(kept.connector_id, -1)
    where kept.port_id is null
)

select port_id, station_id, evse_id, connector_id, true as is_registered
from kept
union all
select silent.port_id, silent.station_id, silent.evse_id, silent.connector_id, true as is_registered
from silent
left join kept
    on
        silent.station_id = kept.station_id
        and coalesce(silent.evse_id, -1) = coalesce(kept.evse_id, -1)
        and coalesce(silent.connector_id, -1) = coalesce(kept.connector_id, -1)
where kept.port_id is null
union all
select port_id, station_id, evse_id, connector_id, false as is_registered
from unmapped
