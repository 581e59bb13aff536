{# One row is one CDR whose OCPP session is known, by its transaction id or by place, token and time. #}
with cdrs as (
    select * from {{ ref('int_cdrs') }}
),

sessions as (
    select * from {{ ref('fct_session') }}
),

-- Transaction ids come back and are unique per station at best: the place must not be another one (where the registry
-- knows both), and the times must meet, with an hour for clocks and for the time before and after charging that only
-- one of the two counts. A peer that sends the time on its wall as UTC is off by the offset of its zone.
by_transaction as (
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
            and (
                (
                    sessions.started_at <= cdrs.ended_at + interval '1' hour
                    and coalesce(sessions.ended_at, sessions.last_seen_at) >= cdrs.started_at - interval '1' hour
                )
                or abs(
                    {{ seconds_between('sessions.started_at', 'cdrs.started_at') }}
                    - {{ utc_offset_seconds('sessions.started_at', 'cdrs.time_zone') }}
                ) <= 300
            )
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
    from by_transaction
),

identified as (
    select
        cdr_key,
        session_id,
        -- The port of a session at the CDR's own site is the CDR's port too.
        case when site_id = cdr_site_id then port_id end as port_id
    from ranked
    where
        choice = 1
        -- Without a port only a session that is alone is sure.
        and (candidate_count = 1 or cdr_port_id = port_id)
),

-- Peers whose session_id is not the transaction id: the same port and token, a start within five minutes, and energy
-- within 0.1 kWh or 1 %; where there is none, whatever the energy, since a port serves one vehicle at a time.
by_place as (
    select
        cdrs.cdr_key,
        sessions.session_id,
        sessions.port_id,
        abs({{ seconds_between('sessions.started_at', 'cdrs.started_at') }}) as start_difference_s,
        coalesce(
            abs(abs(cdrs.energy_kwh) - sessions.energy_kwh) <= greatest(0.1, 0.01 * sessions.energy_kwh), false
        ) as is_energy_equal
    from cdrs
    inner join sessions
        on
            cdrs.port_id = sessions.port_id
            and cdrs.token_hash = sessions.id_token_hash
            and sessions.started_at <= cdrs.started_at + interval '5' minute
            and sessions.started_at >= cdrs.started_at - interval '5' minute
    left join identified on cdrs.cdr_key = identified.cdr_key
    where identified.cdr_key is null
)

select
    cdr_key,
    session_id,
    port_id,
    'transaction_id' as match_method
from identified
union all
select
    cdr_key,
    session_id,
    port_id,
    case when is_energy_equal then 'place_token_energy' else 'place_token' end as match_method
from by_place
qualify row_number() over (
    partition by cdr_key
    order by case when is_energy_equal then 0 else 1 end, start_difference_s, session_id
) = 1
