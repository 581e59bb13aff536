{# One row is one time in which OCPI told of a port that drivers could not reach it (BLOCKED), or that it was no part of the
   network (PLANNED, REMOVED). #}
{# From every version of a Location that was delivered: the status of an EVSE holds from its last_updated to that of the next
   version. The other statuses are not taken: the charger's own messages say more. #}
with delivered as (
    select *
    from {{ source('ocpi', 'connector') }}
    where evse_uid is not null and evse_status is not null and evse_last_updated_at is not null
),

evse_ports as (
    select *
    from {{ ref('int_evse_ports') }}
),

told as (
    select
        {{ ocpi_key(['lower(location_id)']) }} as location_key,
        lower(evse_uid) as evse_key,
        {{ whole_second('evse_last_updated_at') }} as told_at,
        -- two versions of one second: the later, of equal ones the greater by hash
        max_by(upper(evse_status), {{ instant_text('evse_last_updated_at') }} || record_hash) as evse_status
    from delivered
    group by 1, 2, 3
),

followed as (
    select
        location_key,
        evse_key,
        told_at as started_at,
        lead(told_at) over (partition by location_key, evse_key order by told_at) as ended_at,
        evse_status
    from told
)

select
    evse_ports.port_id,
    followed.evse_status,
    followed.started_at,
    followed.ended_at
from followed
inner join evse_ports
    on followed.location_key = evse_ports.location_key and followed.evse_key = evse_ports.evse_key
where followed.evse_status in ('BLOCKED', 'PLANNED', 'REMOVED')
