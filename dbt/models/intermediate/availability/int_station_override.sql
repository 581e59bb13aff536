{# One row is one change of what a station says about itself as a whole: faulted, unavailable, or nothing that
   matters. #}
with statuses as (
    select *
    from {{ ref('int_status_timed') }}
    where subject = 'station'
),

port_states as (
    select *
    from {{ ref('port_states') }}
),

last_of_second as (
    select
        statuses.station_id,
        statuses.changed_at,
        statuses.state,
        statuses.error_codes,
        not port_states.is_working as is_override
    from statuses
    inner join port_states on statuses.state = port_states.port_state
    qualify row_number() over (
        partition by statuses.station_id, statuses.changed_at
        order by
            statuses.status_at desc,
            statuses.received_at desc nulls last,
            statuses.frame_id desc,
            statuses.status desc,
            statuses.error_codes desc
    ) = 1
)

select
    station_id,
    changed_at,
    case when is_override then state end as state,
    case when is_override then error_codes end as error_codes
from last_of_second
