-- Rows returned are ports whose outages do not hold exactly the seconds that fct_port_state calls not working.
with states as (
    select
        port_id,
        sum(duration_s) as state_s
    from {{ ref('fct_port_state') }}
    where state in ('faulted', 'unavailable', 'offline')
    group by port_id
),

outages as (
    select
        port_id,
        sum(duration_s) as outage_s
    from {{ ref('fct_outage') }}
    where gap_class is distinct from 'never_seen'
    group by port_id
)

select
    coalesce(states.port_id, outages.port_id) as port_id,
    states.state_s,
    outages.outage_s
from states
full outer join outages on states.port_id = outages.port_id
where coalesce(states.state_s, 0) <> coalesce(outages.outage_s, 0)
