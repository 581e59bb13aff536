{# One row is one try of a driver to charge on a port: a transaction, a vehicle plugged in or a token shown without one. #}
{% set zone = 'coalesce(stations.time_zone, ' ~ default_time_zone() ~ ')' %}
with sessions as (
    select * from {{ ref('fct_session') }}
),

told_sessions as (
    select * from {{ ref('int_sessions') }}
),

actions as (
    select * from {{ ref('int_driver_actions') }}
),

episodes as (
    select * from {{ ref('int_plug_episodes') }}
),

statuses as (
    select * from {{ ref('int_connector_status') }}
),

port_connectors as (
    select * from {{ ref('int_port_connectors') }}
),

ports as (
    select * from {{ ref('dim_port') }}
),

sites as (
    select * from {{ ref('dim_site') }}
),

stations as (
    select * from {{ ref('dim_station') }}
),

stop_reasons as (
    select * from {{ ref('stop_reasons') }}
),

errors as (
    select * from {{ ref('error_attribution') }}
),

failures as (
    select * from {{ ref('attempt_failures') }}
),

-- Sessions of an episode: on its connector while it lasts. Only a session that lies in none is given to one up to two
-- minutes away: statuses may carry the logger's time beside transactions that carry the station's.
near_episodes as (
    select
        sessions.session_id,
        sessions.started_at,
        episodes.episode_id,
        episodes.started_at as plugged_at,
        episodes.is_beginning_seen,
        coalesce(sessions.ended_at, sessions.last_seen_at) >= episodes.started_at
        and coalesce(sessions.started_at <= episodes.ended_at, true) as is_inside
    from sessions
    inner join episodes
        on
            sessions.port_id = episodes.port_id
            and coalesce(sessions.connector_id = episodes.connector_id, true)
    where
        coalesce(sessions.ended_at, sessions.last_seen_at) >= episodes.started_at - interval '120' second
        and coalesce(sessions.started_at <= episodes.ended_at + interval '120' second, true)
),

placed as (
    select
        *,
        max(case when is_inside then 1 else 0 end) over (partition by session_id) as lies_in_any
    from near_episodes
),

plugged as (
    select
        session_id,
        episode_id,
        plugged_at,
        is_beginning_seen,
        row_number() over (partition by episode_id order by started_at, session_id) as session_number,
        row_number() over (partition by session_id order by plugged_at, episode_id) as episode_number
    from placed
    where is_inside or lies_in_any = 0
),

-- Only the first session of an episode began with the plug.
plug_starts as (
    select
        session_id,
        max(plugged_at) as plugged_at
    from plugged
    where session_number = 1 and episode_number = 1 and is_beginning_seen
    group by session_id
),

session_actions as (
    select
        session_id,
        min(acted_at) as acted_at,
        min(coalesce(answered_at, acted_at)) as authorised_at,
        max(case when is_authorize then 1 else 0 end) = 1 as has_authorize,
        max(case when is_authorize then 0 else 1 end) = 1 as has_remote_start
    from actions
    where session_id is not null and is_before_start
    group by session_id
),

of_sessions as (
    select
        md5(concat_ws('|', 'session', sessions.session_id)) as attempt_id,
        sessions.station_id,
        sessions.port_id,
        sessions.connector_id,
        sessions.session_id,
        sessions.id_token_hash,
        case
            when session_actions.has_remote_start or told_sessions.trigger_reason = 'RemoteStart' then 'remote'
            when told_sessions.trigger_reason = 'CablePluggedIn' then 'plug_in'
            when session_actions.has_authorize and coalesce(plug_starts.plugged_at < session_actions.acted_at, false)
                then 'plug_in'
            when session_actions.has_authorize then 'authorize'
            when
                told_sessions.protocol = 'ocpp1.6' and plug_starts.plugged_at < sessions.started_at - interval '1' second
                then 'plug_in'
            else 'in_start'
        end as start_mode,
        least(
            sessions.started_at,
            coalesce(plug_starts.plugged_at, sessions.started_at),
            coalesce(session_actions.acted_at, sessions.started_at)
        ) as started_at,
        sessions.ended_at,
        coalesce(
            session_actions.authorised_at,
            plug_starts.plugged_at,
            case when told_sessions.start_received_at is not null then told_sessions.answered_at end,
            sessions.started_at
        ) as driver_acted_at,
        sessions.started_power_at,
        sessions.start_frame_id is not null as is_start_observed,
        true as has_authorization,
        sessions.start_status,
        sessions.energy_kwh,
        sessions.duration_s,
        sessions.stop_reason,
        sessions.is_open,
        case
            when sessions.started_power_at is not null or sessions.energy_kwh > 0 then true
            when not sessions.is_open then false
        end as has_power_delivery,
        case
            when sessions.is_open then null
            when sessions.stop_reason is null then false
            {% if not var('is_unplugging_a_valid_end') %}
            when sessions.stop_reason = 'EVDisconnected' then false
            {% endif %}
            when sessions.protocol = 'ocpp1.6' and sessions.energy_kwh <= {{ var('attempt_min_energy_kwh') }} then false
            else coalesce(stop_reasons.is_valid_end, false)
        end as has_valid_end,
        stop_reasons.is_valid_end as is_reason_valid,
        stop_reasons.attribution as reason_attribution
    from sessions
    inner join told_sessions on sessions.session_id = told_sessions.session_id
    left join plug_starts on sessions.session_id = plug_starts.session_id
    left join session_actions on sessions.session_id = session_actions.session_id
    left join stop_reasons on sessions.stop_reason = stop_reasons.reason
),

used_episodes as (
    select distinct episode_id
    from plugged
),

lonely_episodes as (
    select episodes.*
    from episodes
    left join used_episodes as used on episodes.episode_id = used.episode_id
    where used.episode_id is null and episodes.is_beginning_seen
),

lonely_actions as (
    select *
    from actions
    where session_id is null
),

-- A token shown while a vehicle was plugged in, else up to five minutes before it was, in an episode that came to
-- nothing. Of two vehicles at the station then, nobody knows which.
action_candidates as (
    select
        lonely_actions.frame_id,
        lonely_episodes.episode_id,
        case when lonely_actions.acted_at >= lonely_episodes.started_at then 0 else 1 end as closeness,
        {{ seconds_between('lonely_actions.acted_at', 'lonely_episodes.started_at') }} as wait_s
    from lonely_actions
    inner join lonely_episodes
        on
            lonely_actions.station_id = lonely_episodes.station_id
            and lonely_actions.acted_at >= lonely_episodes.started_at - interval '{{ var("attempt_binding_s") }}' second
            and coalesce(lonely_actions.acted_at <= lonely_episodes.ended_at, true)
            and coalesce(
                lonely_actions.connector_id = lonely_episodes.connector_id,
                lonely_actions.evse_id = lonely_episodes.evse_id,
                true
            )
),

ranked_candidates as (
    select
        *,
        row_number() over (partition by frame_id order by closeness, wait_s, episode_id) as candidate_number,
        sum(1 - closeness) over (partition by frame_id) as inside_count
    from action_candidates
),

action_episodes as (
    select
        frame_id,
        episode_id
    from ranked_candidates
    where candidate_number = 1 and inside_count <= 1
),

episode_actions as (
    select
        action_episodes.episode_id,
        min(lonely_actions.acted_at) as acted_at,
        max(coalesce(lonely_actions.answered_at, lonely_actions.acted_at)) as answered_at,
        max_by(lonely_actions.id_token_hash, lonely_actions.acted_at) as id_token_hash,
        min(case when lonely_actions.is_accepted then 1 else 0 end) = 0 as is_refused,
        max(case when lonely_actions.is_authorize then 0 else 1 end) = 1 as has_remote_start,
        max(case when lonely_actions.is_authorize then 1 else 0 end) = 1 as has_authorize
    from action_episodes
    inner join lonely_actions on action_episodes.frame_id = lonely_actions.frame_id
    group by action_episodes.episode_id
),

of_episodes as (
    select
        md5(concat_ws('|', 'plug', lonely_episodes.episode_id)) as attempt_id,
        lonely_episodes.station_id,
        lonely_episodes.port_id,
        lonely_episodes.connector_id,
        episode_actions.id_token_hash,
        case
            when coalesce(episode_actions.acted_at < lonely_episodes.started_at, false)
                then case when episode_actions.has_authorize then 'authorize' else 'remote' end
            else 'plug_in'
        end as start_mode,
        least(lonely_episodes.started_at, coalesce(episode_actions.acted_at, lonely_episodes.started_at)) as started_at,
        lonely_episodes.ended_at,
        episode_actions.episode_id is not null as has_authorization,
        case
            when episode_actions.is_refused and episode_actions.has_authorize then 'authorization_rejected'
            when episode_actions.is_refused then 'remote_start_rejected'
            else 'plugged_in_only'
        end as failure_reason,
        -- still plugged in, or the log has a hole: what comes of it is not known
        lonely_episodes.ended_at is not null and not lonely_episodes.is_hidden as is_decided
    from lonely_episodes
    left join episode_actions on lonely_episodes.episode_id = episode_actions.episode_id
),

only_ports as (
    select
        station_id,
        min(port_id) as port_id
    from port_connectors
    group by station_id
    having count(distinct port_id) = 1
),

exact_ports as (
    select
        station_id,
        coalesce(evse_id, connector_id) as outlet,
        min(port_id) as port_id
    from port_connectors
    group by station_id, coalesce(evse_id, connector_id)
),

-- Where the action names no connector: the one that had a vehicle then, if there was one only.
occupied_ports as (
    select
        lonely_actions.frame_id,
        min(episodes.port_id) as port_id
    from lonely_actions
    inner join episodes
        on
            lonely_actions.station_id = episodes.station_id
            and lonely_actions.acted_at >= episodes.started_at
            and coalesce(lonely_actions.acted_at <= episodes.ended_at, true)
    group by lonely_actions.frame_id
    having count(distinct episodes.port_id) = 1
),

loose_actions as (
    select
        lonely_actions.station_id,
        coalesce(exact_ports.port_id, only_ports.port_id, occupied_ports.port_id) as port_id,
        lonely_actions.connector_id,
        lonely_actions.id_token_hash,
        lonely_actions.is_authorize,
        lonely_actions.is_accepted,
        lonely_actions.acted_at,
        coalesce(lonely_actions.answered_at, lonely_actions.acted_at) as answered_at,
        lonely_actions.frame_id,
        case
            when {{ seconds_between(
                'lag(lonely_actions.acted_at) over (partition by lonely_actions.station_id, lonely_actions.is_authorize, '
                ~ 'lonely_actions.id_token_hash order by lonely_actions.acted_at, lonely_actions.frame_id)',
                'lonely_actions.acted_at'
            ) }} <= {{ var('attempt_repeat_s') }} then 0
            else 1
        end as is_new
    from lonely_actions
    left join action_episodes on lonely_actions.frame_id = action_episodes.frame_id
    left join only_ports on lonely_actions.station_id = only_ports.station_id
    left join exact_ports
        on
            lonely_actions.station_id = exact_ports.station_id
            and coalesce(lonely_actions.evse_id, lonely_actions.connector_id) = exact_ports.outlet
    left join occupied_ports on lonely_actions.frame_id = occupied_ports.frame_id
    where action_episodes.frame_id is null
),

tries as (
    select
        *,
        sum(is_new) over (
            partition by station_id, is_authorize, id_token_hash
            order by acted_at, frame_id
            rows between unbounded preceding and current row
        ) as try_number
    from loose_actions
),

of_actions as (
    select
        md5(concat_ws('|', 'action', min(frame_id))) as attempt_id,
        station_id,
        min(port_id) as port_id,
        min(connector_id) as connector_id,
        id_token_hash,
        case when is_authorize then 'authorize' else 'remote' end as start_mode,
        min(acted_at) as started_at,
        max(answered_at) as ended_at,
        case
            when min(case when is_accepted then 1 else 0 end) = 1 then 'authorized_only'
            when is_authorize then 'authorization_rejected'
            else 'remote_start_rejected'
        end as failure_reason
    from tries
    group by station_id, is_authorize, id_token_hash, try_number
),

tried as (
    select
        attempt_id,
        station_id,
        port_id,
        connector_id,
        session_id,
        id_token_hash,
        start_mode,
        started_at,
        ended_at,
        driver_acted_at,
        started_power_at,
        is_start_observed,
        has_authorization,
        energy_kwh,
        duration_s,
        stop_reason,
        has_power_delivery,
        has_valid_end,
        case
            when has_power_delivery is null or (has_power_delivery and has_valid_end is null) then null
            else has_power_delivery and has_valid_end
        end as is_success,
        case
            when not has_power_delivery and coalesce(start_status, 'Accepted') <> 'Accepted' then 'authorization_rejected'
            when not has_power_delivery then 'no_power'
            when has_valid_end then null
            when is_open then null
            when stop_reason is null then 'no_stop'
            when coalesce(is_reason_valid, false) then 'too_little_energy'
            else 'invalid_end'
        end as failure_reason,
        reason_attribution
    from of_sessions
    union all
    select
        attempt_id,
        station_id,
        port_id,
        connector_id,
        null as session_id,
        id_token_hash,
        start_mode,
        started_at,
        ended_at,
        {{ no_instant() }} as driver_acted_at,
        {{ no_instant() }} as started_power_at,
        true as is_start_observed,
        has_authorization,
        null as energy_kwh,
        null as duration_s,
        null as stop_reason,
        case when is_decided then false end as has_power_delivery,
        case when is_decided then false end as has_valid_end,
        case when is_decided then false end as is_success,
        case when is_decided then failure_reason end as failure_reason,
        null as reason_attribution
    from of_episodes
    union all
    select
        attempt_id,
        station_id,
        port_id,
        connector_id,
        null as session_id,
        id_token_hash,
        start_mode,
        started_at,
        ended_at,
        {{ no_instant() }} as driver_acted_at,
        {{ no_instant() }} as started_power_at,
        true as is_start_observed,
        true as has_authorization,
        null as energy_kwh,
        null as duration_s,
        null as stop_reason,
        false as has_power_delivery,
        false as has_valid_end,
        false as is_success,
        failure_reason,
        null as reason_attribution
    from of_actions
),

-- An error that the connector told during the attempt, or within a minute after it.
failing as (
    select
        statuses.port_id,
        statuses.connector_id,
        statuses.started_at,
        statuses.ended_at,
        statuses.state,
        nullif(split_part(statuses.error_codes, '|', 1), '') as error_code,
        nullif(substring(statuses.error_codes, position('|' in statuses.error_codes) + 1), '') as vendor_error_code
    from statuses
    where statuses.error_codes <> '|' or statuses.state = 'faulted'
),

attempt_errors as (
    select
        tried.attempt_id,
        max(case when failing.state = 'faulted' then 1 else 0 end) = 1 as has_fault,
        min_by(
            coalesce(
                {{ required_error_code('failing.vendor_error_code') }},
                {{ required_error_code('failing.error_code') }},
                failing.error_code,
                failing.vendor_error_code
            ),
            failing.started_at
        ) as error_code
    from tried
    inner join failing
        on
            tried.port_id = failing.port_id
            and coalesce(tried.connector_id = failing.connector_id, true)
    where
        failing.started_at >= tried.started_at
        and coalesce(failing.started_at <= tried.ended_at + interval '60' second, true)
    group by tried.attempt_id
),

explained as (
    select
        tried.*,
        attempt_errors.error_code,
        case
            when tried.is_success or tried.is_success is null then null
            when
                attempt_errors.has_fault
                and tried.failure_reason in ('no_power', 'plugged_in_only', 'invalid_end', 'no_stop', 'too_little_energy')
                then 'fault'
            else tried.failure_reason
        end as final_failure_reason
    from tried
    left join attempt_errors on tried.attempt_id = attempt_errors.attempt_id
)

select
    explained.attempt_id,
    explained.port_id,
    explained.station_id,
    coalesce(ports.site_id, stations.site_id, 'unmapped') as site_id,
    coalesce(ports.owner_id, sites.owner_id, 'unmapped') as owner_id,
    coalesce(sites.operator_id, 'unmapped') as operator_id,
    explained.connector_id,
    explained.session_id,
    explained.id_token_hash,
    explained.start_mode,
    explained.started_at,
    explained.ended_at,
    explained.driver_acted_at,
    explained.started_power_at,
    case
        when explained.started_power_at >= explained.driver_acted_at
            then {{ seconds_between('explained.driver_acted_at', 'explained.started_power_at') }}
    end as charge_start_time_s,
    explained.is_start_observed,
    explained.has_authorization,
    explained.has_power_delivery,
    explained.has_valid_end,
    explained.is_success,
    explained.final_failure_reason as failure_reason,
    explained.error_code,
    case
        when explained.final_failure_reason is not null
            then coalesce(
                errors.attribution,
                case when explained.final_failure_reason = 'invalid_end' then explained.reason_attribution end,
                failures.attribution,
                'unknown'
            )
    end as attribution,
    explained.stop_reason,
    explained.energy_kwh,
    explained.duration_s,
    {{ local_date('coalesce(explained.ended_at, explained.started_at)', zone) }} as local_date,
    cast(date_trunc(
        'month',
        {{ local_date('coalesce(explained.ended_at, explained.started_at)', zone) }}
    ) as date) as local_month
from explained
left join errors on explained.error_code = errors.code
left join failures on explained.final_failure_reason = failures.failure_reason
left join ports on explained.port_id = ports.port_id
left join stations on explained.station_id = stations.station_id
left join sites on coalesce(ports.site_id, stations.site_id, 'unmapped') = sites.site_id
