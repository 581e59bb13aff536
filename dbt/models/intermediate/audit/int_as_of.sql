{# One row is the instant up to which CDRs, Sessions and logs speak: ages are counted from it, not from a clock, so that
   the same deliveries give the same figures on any day. #}
with cdrs as (
    select * from {{ ref('stg_ocpi__cdrs') }}
),

sessions as (
    select * from {{ ref('stg_ocpi__sessions') }}
),

logged as (
    select * from {{ ref('fct_session') }}
),

landed as (
    select * from {{ source('meta', 'landed_file') }}
),

arrived as (
    select
        source_id,
        min(first_seen_at) as received_at
    from landed
    group by source_id
),

told as (
    select
        cdrs.last_updated_at as told_at,
        arrived.received_at
    from cdrs
    left join arrived on cdrs.source_id = arrived.source_id
    union all
    select
        sessions.last_updated_at as told_at,
        arrived.received_at
    from sessions
    left join arrived on sessions.source_id = arrived.source_id
    union all
    select
        max(last_seen_at) as told_at,
        cast(null as timestamptz) as received_at
    from logged
)

-- What a peer dates after its arrival must not make everything else look old.
select max(told_at) as as_of_at
from told
where received_at is null or told_at <= received_at + interval '1' day
