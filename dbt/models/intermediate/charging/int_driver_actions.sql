{# One row is one Authorize call or one remote start command, with its answer and the session it led to. #}
{# An action belongs to the session of the same token on the same station that starts nearest to it, a start after it
   before one that came earlier, at most five minutes away; a remote start id names its session. A token shown while its
   session runs belongs to that session too: the driver comes to stop. A token that was refused starts nothing. #}
{% set actions = "('Authorize', 'RemoteStartTransaction', 'RequestStartTransaction')" %}
with frames as (
    select *
    from {{ source('ocpp', 'frame') }}
    where message_type = 2 and action in {{ actions }} and received_at is not null
    {{ first_delivery(['frame_id']) | indent(4) }}
),

call_results as (
    select * from {{ ref('int_ocpp_call_results') }}
),

sessions as (
    select * from {{ ref('int_sessions') }}
),

ends as (
    select * from {{ ref('int_session_ends') }}
),

acted as (
    select
        frames.frame_id,
        frames.station_id,
        frames.action = 'Authorize' as is_authorize,
        frames.received_at as acted_at,
        call_results.answered_at,
        call_results.result_status,
        coalesce(call_results.result_status, 'Accepted') = 'Accepted' as is_accepted,
        coalesce(
            {{ payload_text('frames.payload', 'idTag') }}, {{ payload_text('frames.payload', 'idToken.idToken') }}
        ) as id_token_hash,
        try_cast({{ payload_text('frames.payload', 'evseId') }} as integer) as evse_id,
        try_cast({{ payload_text('frames.payload', 'connectorId') }} as integer) as connector_id,
        try_cast({{ payload_text('frames.payload', 'remoteStartId') }} as bigint) as remote_start_id
    from frames
    left join call_results on frames.frame_id = call_results.frame_id
),

-- The log's clock where it saw the start live: it is the clock of the actions.
begun as (
    select
        sessions.session_id,
        sessions.station_id,
        sessions.evse_id,
        sessions.connector_id,
        sessions.id_token_hash,
        sessions.remote_start_id,
        sessions.has_start,
        case
            when sessions.started_at_quality = 'late' then sessions.started_at
            else coalesce(sessions.start_received_at, sessions.started_at)
        end as begun_at,
        coalesce(ends.ended_at, ends.last_seen_at) as until_at
    from sessions
    inner join ends on sessions.session_id = ends.session_id
),

near as (
    select
        acted.frame_id,
        begun.session_id,
        case
            when acted.remote_start_id = begun.remote_start_id then 0
            when {{ seconds_between('acted.acted_at', 'begun.begun_at') }} between 0 and {{ var('attempt_binding_s') }}
                then 1
            when {{ seconds_between('begun.begun_at', 'acted.acted_at') }} between 0 and {{ var('attempt_binding_s') }}
                then 2
            else 3
        end as closeness,
        abs({{ seconds_between('acted.acted_at', 'begun.begun_at') }}) as distance_s
    from acted
    inner join begun
        on
            acted.station_id = begun.station_id
            and (acted.id_token_hash = begun.id_token_hash or acted.remote_start_id = begun.remote_start_id)
    where
        acted.remote_start_id = begun.remote_start_id
        or (
            begun.has_start
            and acted.is_accepted
            and coalesce(acted.connector_id = begun.connector_id, true)
            and coalesce(acted.evse_id = begun.evse_id, true)
            and abs({{ seconds_between('acted.acted_at', 'begun.begun_at') }}) <= {{ var('attempt_binding_s') }}
        )
        -- to stop; the minute more is for the stop that the log dates a little too early
        or (
            acted.is_authorize
            and acted.acted_at >= begun.begun_at
            and (
                acted.acted_at <= begun.until_at
                or (acted.is_accepted and acted.acted_at <= begun.until_at + interval '60' second)
            )
        )
),

nearest as (
    select
        frame_id,
        session_id,
        closeness
    from near
    qualify row_number() over (partition by frame_id order by closeness, distance_s, session_id) = 1
)

select
    acted.frame_id,
    acted.station_id,
    acted.is_authorize,
    acted.acted_at,
    acted.answered_at,
    acted.result_status,
    acted.is_accepted,
    acted.id_token_hash,
    acted.evse_id,
    acted.connector_id,
    nearest.session_id,
    -- what was shown in the session came too late to have started it
    coalesce(nearest.closeness in (0, 1) or (nearest.closeness = 2 and not acted.is_authorize), false) as is_before_start
from acted
left join nearest on acted.frame_id = nearest.frame_id
