{# One row is one span of arrivals in which the clock of a station, or of one of its actions, was wrong by a known amount. #}
{# Two clocks can be put right. One that shows local time as UTC is ahead or behind by a multiple of 15 minutes in message
   after message; one that restarted at boot counts from the first of January of 1970, 2000 or another early year, and the
   BootNotification tells when that was. What was merely delivered late is neither: its delay differs from message to
   message, and it comes in a burst. #}
{% set quarter_s = 900 %}
with statuses as (
    select * from {{ source('ocpp', 'status_event') }}
),

transaction_events as (
    select * from {{ source('ocpp', 'transaction_event') }}
),

samples as (
    select * from {{ source('ocpp', 'meter_sample') }}
),

boots as (
    select distinct
        station_id,
        received_at as booted_at
    from {{ source('ocpp', 'boot') }}
    where received_at is not null and coalesce(reason, '') <> 'Triggered'
),

messages as (
    select
        station_id,
        reported_by as action,
        received_at,
        event_at
    from statuses
    where received_at is not null and event_at is not null
    union all
    select
        station_id,
        {{ transaction_action('event_type', 'seq_no', 'protocol') }} as action,
        received_at,
        event_at
    from transaction_events
    where received_at is not null and event_at is not null
    union all
    -- the newest reading of a message tells when it was sent
    select
        station_id,
        'MeterValues' as action,
        received_at,
        max(sampled_at) as event_at
    from samples
    where received_at is not null and sampled_at is not null and action = 'MeterValues'
    group by station_id, frame_id, received_at
),

-- Most clocks are right. Only stations with a message that can't be live are looked at any closer.
suspects as (
    select distinct station_id
    from messages
    where not {{ is_live('event_at', 'received_at') }}
),

-- A message sent again carries its old time: it tells once, when it first arrived.
suspected as (
    select
        messages.station_id,
        messages.action,
        min(messages.received_at) as received_at,
        messages.event_at
    from messages
    inner join suspects on messages.station_id = suspects.station_id
    group by messages.station_id, messages.action, messages.event_at
),

-- How many quarter hours the clock is ahead, for messages that arrived as soon after that as live ones do.
measured as (
    select
        station_id,
        action,
        received_at,
        {{ seconds_between('received_at', 'event_at') }} as ahead_s,
        cast(round({{ seconds_between('received_at', 'event_at') }} / {{ quarter_s }}.0) as bigint) as ahead_quarters
    from suspected
    where event_at >= {{ instant("'2010-01-01 00:00:00+00:00'") }}
),

-- UTC-12 to UTC+14 are all the offsets there are.
fitting as (
    select
        station_id,
        action,
        received_at,
        ahead_quarters,
        ahead_s - ahead_quarters * {{ quarter_s }} as rest_s
    from measured
    where
        ahead_quarters between -48 and 56
        and ahead_s - ahead_quarters * {{ quarter_s }} between -120 and 60
),

-- Once for each action by itself, and once for the station as a whole: for actions that are too rare to tell.
asked as (
    select
        station_id,
        action,
        received_at,
        ahead_quarters,
        rest_s
    from fitting
    union all
    select
        station_id,
        '' as action,
        received_at,
        ahead_quarters,
        rest_s
    from fitting
),

turns as (
    select
        *,
        case
            when lag(ahead_quarters) over (
                partition by station_id, action order by received_at, ahead_quarters
            ) = ahead_quarters then 0
            else 1
        end as is_turn
    from asked
),

numbered as (
    select
        *,
        sum(is_turn) over (
            partition by station_id, action
            order by received_at, ahead_quarters
            rows between unbounded preceding and current row
        ) as run_number
    from turns
),

runs as (
    select
        station_id,
        action,
        run_number,
        max(ahead_quarters) as ahead_quarters,
        count(*) as message_count,
        min(received_at) as first_at,
        max(received_at) as last_at,
        max(rest_s) - min(rest_s) as spread_s
    from numbered
    group by station_id, action, run_number
),

-- A clock can't be ahead of the arrival unless it is wrong: two messages in a row are enough. Behind the arrival is also
-- what waited in a queue: then three messages over at least ten minutes must agree to the minute, while nothing of the
-- station arrives live.
told as (
    select runs.*
    from runs
    where
        runs.ahead_quarters = 0
        or (runs.ahead_quarters > 0 and runs.message_count >= 2)
        or (
            runs.ahead_quarters < 0
            and runs.message_count >= 3
            and runs.spread_s <= 60
            and {{ seconds_between('runs.first_at', 'runs.last_at') }} >= 600
        )
),

live_inside as (
    select distinct
        told.station_id,
        told.action,
        told.run_number
    from told
    inner join fitting
        on
            told.station_id = fitting.station_id
            and fitting.received_at between told.first_at and told.last_at
            and fitting.ahead_quarters = 0
    where told.ahead_quarters < 0
),

believed as (
    select
        told.station_id,
        told.action,
        told.ahead_quarters,
        told.message_count,
        told.first_at,
        lag(told.first_at) over (partition by told.station_id, told.action order by told.first_at) as before_at,
        lead(told.first_at) over (partition by told.station_id, told.action order by told.first_at) as next_at
    from told
    left join live_inside
        on
            told.station_id = live_inside.station_id
            and told.action = live_inside.action
            and told.run_number = live_inside.run_number
    where live_inside.station_id is null
),

-- What the station as a whole tells is taken for the actions that tell nothing by themselves.
stations as (
    select distinct station_id
    from believed
    where action = '' and ahead_quarters <> 0
),

actions as (
    {% for action in clock_actions() %}
    select '{{ action }}' as action{{ ' union all' if not loop.last }}
    {% endfor %}
),

telling as (
    select distinct
        station_id,
        action
    from believed
),

silent_actions as (
    select
        stations.station_id,
        actions.action
    from stations
    cross join actions
    left join telling on stations.station_id = telling.station_id and actions.action = telling.action
    where telling.action is null
),

of_actions as (
    select *
    from believed
    where action <> '' and ahead_quarters <> 0
    union all
    select
        believed.station_id,
        silent_actions.action,
        believed.ahead_quarters,
        believed.message_count,
        believed.first_at,
        believed.before_at,
        believed.next_at
    from believed
    inner join silent_actions on believed.station_id = silent_actions.station_id
    where believed.action = '' and believed.ahead_quarters <> 0
),

local_times as (
    select
        station_id,
        action,
        'local_time' as reason,
        case when before_at is null then {{ instant("'1900-01-01 00:00:00+00:00'") }} else first_at end as from_at,
        coalesce(next_at, {{ instant("'9999-12-31 00:00:00+00:00'") }}) as to_at,
        cast(-ahead_quarters * {{ quarter_s }} as bigint) as correction_s,
        message_count
    from of_actions
),

-- A clock that counts from its boot: the message's own time, counted back from its arrival, is when it was switched on.
-- The boot tells the same but for what the station needs to start and to connect, at most ten minutes.
restarted as (
    select
        suspected.station_id,
        boots.booted_at,
        suspected.received_at,
        suspected.event_at,
        date_trunc('year', suspected.event_at) as clock_zero_at
    from suspected
    inner join boots on suspected.station_id = boots.station_id
    where
        suspected.event_at < {{ instant("'2010-01-01 00:00:00+00:00'") }}
        and suspected.received_at >= boots.booted_at - interval '600' second
        and {{ seconds_between("date_trunc('year', suspected.event_at)", 'suspected.event_at') }}
        between {{ seconds_between('boots.booted_at', 'suspected.received_at') }} - 60
        and {{ seconds_between('boots.booted_at', 'suspected.received_at') }} + 600
),

restarts as (
    select
        station_id,
        booted_at,
        clock_zero_at,
        -- the message that waited least
        min({{ seconds_between('event_at', 'received_at') }}) as correction_s,
        count(*) as message_count
    from restarted
    group by station_id, booted_at, clock_zero_at
),

boot_relative as (
    select
        restarts.station_id,
        cast(extract(year from restarts.clock_zero_at) as varchar) as clock_year,
        restarts.booted_at - interval '600' second as from_at,
        restarts.correction_s,
        restarts.message_count,
        lead(restarts.booted_at - interval '600' second) over (
            partition by restarts.station_id, restarts.clock_zero_at order by restarts.booted_at
        ) as next_at
    from restarts
)

select
    station_id,
    action,
    reason,
    cast(null as varchar) as clock_year,
    from_at,
    to_at,
    correction_s,
    cast(message_count as bigint) as message_count
from local_times
union all
select
    station_id,
    'any' as action,
    'boot_relative' as reason,
    clock_year,
    from_at,
    coalesce(next_at, {{ instant("'9999-12-31 00:00:00+00:00'") }}) as to_at,
    cast(correction_s as bigint) as correction_s,
    cast(message_count as bigint) as message_count
from boot_relative
