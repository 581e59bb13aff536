{# One row is one CDR whose OCPP session is known by its transaction id. #}
with cdrs as (
    select * from {{ ref('int_cdrs') }}
),

sessions as (
    select * from {{ ref('fct_session') }}
),

-- Transaction ids come back and are unique per station at best: the place must not be another one (where the registry
-- knows both), and the times must meet, with an hour for clocks and for the time before and after charging that only
-- one of the two counts.
candidates as (
    select
        cdrs.cdr_key,
        cdrs.site_id as cdr_site_id,
        cdrs.port_id as cdr_port_id,
        sessions.session_id,
        sessions.site_id,
        sessions.port_id,
        abs({{ seconds_between('sessions.started_at', 'cdrs.started_at') }}) as start_difference_s
    from cdrs
    inner join sessions
        on
            lower(cdrs.ocpi_session_id) = lower(sessions.transaction_id)
            and sessions.started_at <= cdrs.ended_at + interval '1' hour
            and coalesce(sessions.ended_at, sessions.last_seen_at) >= cdrs.started_at - interval '1' hour
    where
        (cdrs.site_id = sessions.site_id or not cdrs.is_site_registered or sessions.site_id = 'unmapped')
        and (not cdrs.is_port_registered or coalesce(cdrs.port_id = sessions.port_id, true))
),

ranked as (
    select
        *,
        count(*) over (partition by cdr_key) as candidate_count,
        row_number() over (
            partition by cdr_key
            order by case when cdr_port_id = port_id then 0 else 1 end, start_difference_s, session_id
        ) as choice
    from candidates
)

select
    cdr_key,
    session_id,
    -- The port of a session at the CDR's own site is the CDR's port too.
    case when site_id = cdr_site_id then port_id end as port_id
from ranked
where choice = 1
-- Without a port only a session that is alone is sure.
and (candidate_count = 1 or cdr_port_id = port_id)
