{# One row is one part of a silence in which the port is proven to have worked by a session that was reported afterwards. #}
{# No frame came during a silence, so a session whose start, or whose end, lies inside it was queued by the charger and sent
   later; so is a 2.x event that says it happened offline. The port worked from the later of the silence's start and the
   session's to the earlier of their ends. #}
with port_state as (
    select *
    from {{ ref('fct_port_state') }}
),

sessions as (
    select *
    from {{ ref('fct_session') }}
    where port_id is not null
),

events as (
    select *
    from {{ ref('stg_ocpp__transaction_events') }}
    where is_offline and transaction_id is not null
),

silences as (
    select
        port_id,
        started_at,
        known_until_at as ended_at
    from port_state
    where state = 'offline' and duration_s > 0
),

signs as (
    select
        port_id,
        session_id,
        started_at as sign_at
    from sessions
    union all
    select
        port_id,
        session_id,
        ended_at as sign_at
    from sessions
    where ended_at is not null
    union all
    select
        sessions.port_id,
        sessions.session_id,
        events.event_at as sign_at
    from events
    inner join sessions
        on events.station_id = sessions.station_id and events.transaction_id = sessions.transaction_id
    where
        events.event_at >= sessions.started_at
        and events.event_at <= coalesce(sessions.ended_at, sessions.last_seen_at)
),

-- the last silence that began before each sign, by one pass over both
stream as (
    select
        port_id,
        started_at as point_at,
        started_at as silence_started_at,
        cast(null as varchar) as session_id,
        0 as place
    from silences
    union all
    select
        port_id,
        {{ whole_second('sign_at') }} as point_at,
        {{ no_instant() }} as silence_started_at,
        session_id,
        1 as place
    from signs
),

carried as (
    select
        port_id,
        point_at,
        session_id,
        {{ last_known('silence_started_at', 'partition by port_id order by point_at, place') }} as silence_started_at
    from stream
),

proven as (
    select distinct
        carried.port_id,
        carried.session_id,
        silences.started_at,
        silences.ended_at
    from carried
    inner join silences
        on carried.port_id = silences.port_id and carried.silence_started_at = silences.started_at
    -- the frame that ends a silence is no sign from inside it
    where carried.session_id is not null and carried.point_at > silences.started_at and carried.point_at < silences.ended_at
),

spans as (
    select
        proven.port_id,
        proven.session_id,
        greatest(proven.started_at, {{ whole_second('sessions.started_at') }}) as started_at,
        least(proven.ended_at, {{ whole_second('coalesce(sessions.ended_at, sessions.last_seen_at)') }}) as ended_at
    from proven
    inner join sessions on proven.session_id = sessions.session_id
)

select
    port_id,
    session_id,
    started_at,
    ended_at
from spans
where ended_at > started_at
