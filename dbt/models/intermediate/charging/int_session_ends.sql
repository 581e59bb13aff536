{# One row is one session with its end, and what tells it. #}
{# In this order: the stop itself; a stop found by its id after the station had booted again; the next session on the
   connector; a status that says the connector is free or out of service after the last message; a boot after which
   nothing more is told of the session for some hours. What none of these tells is open. #}
{% set of_station = 'partition by station_id order by point_at, place' %}
{% set from_the_end = 'partition by station_id, outlet order by point_at desc, place desc' %}
with sessions as (
    select * from {{ ref('int_sessions') }}
),

energy as (
    select * from {{ ref('int_session_energy') }}
),

statuses as (
    select * from {{ ref('int_connector_status') }}
),

boots as (
    select * from {{ ref('stg_ocpp__boots') }}
),

watch as (
    select * from {{ ref('int_station_watch') }}
),

-- Triggered means that the station was asked for it; it did not boot.
real_boots as (
    select
        station_id,
        received_at as booted_at
    from boots
    where received_at is not null and coalesce(reason, '') <> 'Triggered'
),

-- Walking from the start of each session to its stop: the last boot before the stop arrived.
boots_before as (
    select
        session_id,
        place,
        {{ last_known('booted_at', of_station) }} as last_booted_at
    from (
        select
            station_id,
            stop_received_at as point_at,
            1 as place,
            session_id,
            {{ no_instant() }} as booted_at
        from sessions
        where stop_received_at is not null
        union all
        select
            station_id,
            booted_at as point_at,
            0 as place,
            null as session_id,
            booted_at
        from real_boots
    ) as points
),

unstopped as (
    select
        sessions.session_id,
        sessions.station_id,
        coalesce(sessions.evse_id, sessions.connector_id) as outlet,
        energy.last_seen_at
    from sessions
    inner join energy on sessions.session_id = energy.session_id
    where sessions.stopped_at is null
),

-- Walking back from the end of the log: the first free status after the last message of a session.
frees_after as (
    select
        session_id,
        place,
        {{ last_known('free_at', from_the_end) }} as free_at
    from (
        select
            station_id,
            outlet,
            last_seen_at as point_at,
            0 as place,
            session_id,
            {{ no_instant() }} as free_at
        from unstopped
        where outlet is not null
        union all
        select
            station_id,
            coalesce(evse_id, connector_id) as outlet,
            started_at as point_at,
            1 as place,
            null as session_id,
            started_at as free_at
        from statuses
        where state in ('available', 'unavailable')
    ) as points
),

boots_after as (
    select
        session_id,
        place,
        {{ last_known('booted_at', 'partition by station_id order by point_at desc, place desc') }} as next_booted_at
    from (
        select
            station_id,
            last_seen_at as point_at,
            0 as place,
            session_id,
            {{ no_instant() }} as booted_at
        from unstopped
        union all
        select
            station_id,
            booted_at as point_at,
            1 as place,
            null as session_id,
            booted_at
        from real_boots
    ) as points
),

told as (
    select
        sessions.session_id,
        sessions.protocol,
        sessions.started_at,
        sessions.stopped_at,
        sessions.next_started_at,
        energy.last_seen_at,
        boots_before.last_booted_at > sessions.started_at as is_stopped_after_boot,
        frees_after.free_at,
        boots_after.next_booted_at + interval '{{ var("session_resume_after_boot_h") }}' hour
        <= watch.known_until_at as is_given_up_after_boot
    from sessions
    inner join energy on sessions.session_id = energy.session_id
    left join boots_before on sessions.session_id = boots_before.session_id and boots_before.place = 1
    left join frees_after on sessions.session_id = frees_after.session_id and frees_after.place = 0
    left join boots_after on sessions.session_id = boots_after.session_id and boots_after.place = 0
    left join watch on sessions.station_id = watch.station_id
),

named as (
    select
        session_id,
        last_seen_at,
        stopped_at,
        case
            when stopped_at is not null and protocol <> 'ocpp1.6' then 'ended'
            when stopped_at is not null and is_stopped_after_boot then 'stop_after_boot'
            when stopped_at is not null then 'stop'
            when next_started_at is not null then 'next_start'
            when free_at is not null then 'status'
            when is_given_up_after_boot then 'boot'
            else 'open'
        end as end_source,
        -- a free connector after the next start says nothing of this session
        case when coalesce(free_at <= next_started_at, true) then free_at end as free_at
    from told
)

select
    session_id,
    last_seen_at,
    end_source,
    case
        when stopped_at is not null then stopped_at
        when end_source in ('next_start', 'status') then coalesce(free_at, last_seen_at)
        when end_source = 'boot' then last_seen_at
    end as ended_at
from named
