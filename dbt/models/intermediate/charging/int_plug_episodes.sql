{# One row is one time that a connector was in use without a break: from leaving a free state to returning to one. #}
{# In use is what means a vehicle is there or a driver at work: Preparing to Finishing, Occupied. A fault continues what it
   interrupts; a fault of a free connector is no use of it. #}
{% set of_connector = 'partition by station_id, evse_id, connector_id order by started_at' %}
with statuses as (
    select * from {{ ref('int_connector_status') }}
),

holes as (
    select *
    from {{ ref('int_station_silence') }}
    where kind = 'hole'
),

continued as (
    select
        port_id,
        station_id,
        evse_id,
        connector_id,
        state,
        error_codes,
        started_at,
        ended_at,
        lag(state) over ({{ of_connector }}) is not null as is_preceded,
        {{ last_known("case when state <> 'faulted' then state end", of_connector) }} as last_state
    from statuses
),

used as (
    select
        *,
        last_state in ('occupied', 'charging', 'suspended_ev', 'suspended_evse') as is_in_use,
        lag(last_state) over ({{ of_connector }}) as state_before
    from continued
),

numbered as (
    select
        *,
        sum(
            case
                when state_before in ('occupied', 'charging', 'suspended_ev', 'suspended_evse') then 0
                else 1
            end
        ) over ({{ of_connector }} rows between unbounded preceding and current row) as episode_number
    from used
    where is_in_use
),

episodes as (
    select
        station_id,
        evse_id,
        connector_id,
        episode_number,
        min(port_id) as port_id,
        min(started_at) as started_at,
        min_by(is_preceded, started_at) as is_beginning_seen,
        -- null is the latest: the state lasts on
        case when max(case when ended_at is null then 1 else 0 end) = 0 then max(ended_at) end as ended_at,
        min_by(error_codes, started_at) filter (where error_codes <> '|') as error_codes
    from numbered
    group by station_id, evse_id, connector_id, episode_number
),

-- Whose session may have been in a hole of the log, nobody can tell.
hidden as (
    select distinct
        episodes.station_id,
        episodes.evse_id,
        episodes.connector_id,
        episodes.episode_number
    from episodes
    inner join holes
        on
            episodes.station_id = holes.station_id
            and coalesce(holes.started_at < episodes.ended_at, true)
            and coalesce(holes.ended_at > episodes.started_at, true)
)

select
    md5(concat_ws(
        '|',
        episodes.station_id,
        coalesce(cast(episodes.evse_id as string), ''),
        coalesce(cast(episodes.connector_id as string), ''),
        {{ instant_text('episodes.started_at') }}
    )) as episode_id,
    episodes.port_id,
    episodes.station_id,
    episodes.evse_id,
    episodes.connector_id,
    episodes.started_at,
    episodes.ended_at,
    episodes.is_beginning_seen,
    hidden.station_id is not null as is_hidden,
    episodes.error_codes
from episodes
left join hidden
    on
        episodes.station_id = hidden.station_id
        and coalesce(episodes.evse_id, -1) = coalesce(hidden.evse_id, -1)
        and coalesce(episodes.connector_id, -1) = coalesce(hidden.connector_id, -1)
        and episodes.episode_number = hidden.episode_number
