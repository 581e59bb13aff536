{# One row is one session whose charging time is known: seconds charging and suspended, and what tells them. #}
with sessions as (
    select * from {{ ref('int_sessions') }}
),

ends as (
    select * from {{ ref('int_session_ends') }}
),

events as (
    select * from {{ ref('int_ocpp2_events') }}
),

statuses as (
    select * from {{ ref('int_connector_status') }}
),

samples as (
    select * from {{ ref('int_session_samples') }}
),

spans as (
    select
        sessions.session_id,
        sessions.station_id,
        sessions.protocol,
        sessions.connector_id,
        sessions.transaction_id,
        sessions.use_number,
        sessions.started_at,
        coalesce(ends.ended_at, ends.last_seen_at) as until_at
    from sessions
    inner join ends on sessions.session_id = ends.session_id
),

-- 2.x: a chargingState holds until the next event of the transaction.
event_states as (
    select
        station_id,
        transaction_id,
        use_number,
        charging_state,
        event_at as from_at,
        lead(event_at) over (partition by station_id, transaction_id, use_number order by event_number) as to_at
    from events
),

by_charging_state as (
    select
        spans.session_id,
        event_states.charging_state as state,
        event_states.from_at,
        least(coalesce(event_states.to_at, spans.until_at), spans.until_at) as to_at
    from spans
    inner join event_states
        on
            spans.station_id = event_states.station_id
            and spans.transaction_id = event_states.transaction_id
            and spans.use_number = event_states.use_number
    where
        spans.protocol <> 'ocpp1.6'
        and event_states.charging_state is not null
        and event_states.from_at < spans.until_at
),

-- 1.6: the connector's status says whether it charges.
by_status as (
    select
        spans.session_id,
        case statuses.state
            when 'charging' then 'Charging'
            when 'suspended_ev' then 'SuspendedEV'
            when 'suspended_evse' then 'SuspendedEVSE'
            else statuses.state
        end as state,
        greatest(statuses.started_at, spans.started_at) as from_at,
        least(coalesce(statuses.ended_at, spans.until_at), spans.until_at) as to_at,
        -- what charged before was another session, or the status came a little before the start
        case
            when statuses.started_at >= spans.started_at - interval '60' second
                then greatest(statuses.started_at, spans.started_at)
        end as told_at
    from spans
    inner join statuses
        on
            spans.station_id = statuses.station_id
            and spans.connector_id = statuses.connector_id
            and spans.until_at > statuses.started_at
            and coalesce(spans.started_at < statuses.ended_at, true)
    where
        spans.protocol = 'ocpp1.6'
        and statuses.evse_id is null
),

-- A status counts only if the connector said it charges, or why it does not, at least once in the session: some
-- stations send none of these.
status_tells as (
    select session_id
    from by_status
    group by session_id
    having max(case when state in ('Charging', 'SuspendedEV', 'SuspendedEVSE') then 1 else 0 end) = 1
),

-- 1.6 without such statuses: power flows after a sample that says so, or while the register rises.
metered as (
    select
        session_id,
        sampled_at,
        register_wh,
        power_w,
        lead(sampled_at) over (partition by session_id order by sampled_at) as next_sampled_at,
        lead(register_wh) over (partition by session_id order by sampled_at) as next_register_wh,
        row_number() over (partition by session_id order by sampled_at) as sample_number
    from samples
    where register_wh is not null or power_w is not null
),

by_sample as (
    select
        spans.session_id,
        case
            when coalesce(metered.power_w > 0, metered.next_register_wh > metered.register_wh, false) then 'Charging'
            else 'metered'
        end as state,
        -- Before the first sample it was as at the first sample.
        case
            when metered.sample_number = 1 then spans.started_at
            else greatest(metered.sampled_at, spans.started_at)
        end as from_at,
        least(coalesce(metered.next_sampled_at, spans.until_at), spans.until_at) as to_at,
        metered.sampled_at as told_at
    from spans
    inner join metered on spans.session_id = metered.session_id
    left join status_tells on spans.session_id = status_tells.session_id
    where
        spans.protocol = 'ocpp1.6'
        and status_tells.session_id is null
),

intervals as (
    select
        session_id,
        state,
        from_at,
        to_at,
        from_at as told_at,
        'charging_state' as charging_method
    from by_charging_state
    union all
    select
        by_status.session_id,
        by_status.state,
        by_status.from_at,
        by_status.to_at,
        by_status.told_at,
        'connector_status' as charging_method
    from by_status
    inner join status_tells on by_status.session_id = status_tells.session_id
    union all
    select
        session_id,
        state,
        from_at,
        to_at,
        told_at,
        'samples' as charging_method
    from by_sample
)

select
    session_id,
    max(charging_method) as charging_method,
    cast(sum(
        case when state = 'Charging' then {{ seconds_between('from_at', 'to_at') }} else 0 end
    ) as bigint) as charging_s,
    -- Samples can't tell who suspended.
    cast(case
        when max(charging_method) <> 'samples'
            then sum(case when state = 'SuspendedEV' then {{ seconds_between('from_at', 'to_at') }} else 0 end)
    end as bigint) as suspended_ev_s,
    cast(case
        when max(charging_method) <> 'samples'
            then sum(case when state = 'SuspendedEVSE' then {{ seconds_between('from_at', 'to_at') }} else 0 end)
    end as bigint) as suspended_evse_s,
    min(case when state = 'Charging' then told_at end) as started_power_at
from intervals
where to_at >= from_at
group by session_id
