{# One row is one port in one local month for one time in which all evidence that a policy may weigh stayed the same. #}
{# Only time that some policy may count as anything but up is here: time not working, silent or unknown, blocked or removed
   in OCPI, and states that a user's policy maps otherwise. All the rest of the time in service is up under every policy and
   is reached by subtraction, so that fifty million working intervals are read once and multiplied by no policy. #}
{% set working = "coalesce(port_states.is_working, false)" %}
with port_state as (
    select *
    from {{ ref('fct_port_state') }}
),

ports as (
    select *
    from {{ ref('int_sla_port') }}
),

port_states as (
    select *
    from {{ ref('port_states') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
),

policy_states as (
    select *
    from {{ ref('int_sla_policy_state') }}
),

outage_parts as (
    select *
    from {{ ref('int_outage_part') }}
),

proofs as (
    select *
    from {{ ref('int_sla_proof') }}
),

ocpi_status as (
    select *
    from {{ ref('int_sla_ocpi_status') }}
),

openings as (
    select *
    from {{ ref('int_sla_open') }}
),

exclusions as (
    select *
    from {{ ref('int_sla_exclusion') }}
),

weighed_states as (
    select
        state,
        true as is_weighed
    from policy_states
    group by state
    having max(case when treatment <> 'up' then 1 else 0 end) = 1
    union
    select 'offline' as state, true as is_weighed
    union
    select 'unknown' as state, true as is_weighed
),

warnings as (
    select count(*) as policy_count
    from policies
    where warnings_with_operative_status = 'down'
),

known as (
    select
        port_state.port_id,
        port_state.state,
        port_state.error_code,
        port_state.vendor_error_code,
        port_state.started_at,
        port_state.known_until_at as ended_at
    from port_state
    cross join warnings
    left join weighed_states on port_state.state = weighed_states.state
    where
        port_state.duration_s > 0
        and (
            weighed_states.is_weighed
            or (
                warnings.policy_count > 0
                and (port_state.error_code is not null or port_state.vendor_error_code is not null)
            )
        )
),

-- What was the state before a silence: the state that ends where it begins, through other silences and holes. If none of
-- these intervals ends there, the port was working.
followed as (
    select
        port_id,
        state,
        error_code,
        vendor_error_code,
        started_at,
        ended_at,
        case when lag(ended_at) over (partition by port_id order by started_at) = started_at then 0 else 1 end as is_apart
    from known
),

chained as (
    select
        port_id,
        state,
        error_code,
        vendor_error_code,
        started_at,
        ended_at,
        sum(is_apart) over (
            partition by port_id
            order by started_at
            rows between unbounded preceding and current row
        ) as chain_number
    from followed
),

preceded as (
    select
        port_id,
        state,
        error_code,
        vendor_error_code,
        started_at,
        ended_at,
        {{ last_known(
            "case when state not in ('offline', 'unknown') then state || '|' || coalesce(error_code, '') || '|' || coalesce(vendor_error_code, '') end",
            'partition by port_id, chain_number order by started_at',
        ) }} as carried
    from chained
),

-- time in service without a record: before the first status, and after the end of the port's own log. It is not the
-- `unknown` that a regulation may call reliable: nobody was asked.
unheard as (
    select
        port_id,
        'unrecorded' as state,
        greatest(in_service_from_at, {{ local_midnight('first_month', 'time_zone') }}) as started_at,
        least(in_service_until_at, case when is_never_seen then network_begins_at else first_state_at end) as ended_at
    from ports
    union all
    select
        port_id,
        'unrecorded' as state,
        greatest(in_service_from_at, last_state_until_at) as started_at,
        in_service_until_at as ended_at
    from ports
    where not is_never_seen
    union all
    -- a port in service whose station is watched, or should be, and that never said a word
    select
        port_id,
        'never_seen' as state,
        greatest(in_service_from_at, network_begins_at) as started_at,
        in_service_until_at as ended_at
    from ports
    where is_never_seen
),

evidence as (
    select
        preceded.port_id,
        preceded.state,
        preceded.error_code,
        preceded.vendor_error_code,
        preceded.started_at as state_started_at,
        {{ seconds_between('preceded.started_at', 'preceded.ended_at') }} as state_s,
        split_part(preceded.carried, '|', 1) as carried_state,
        nullif(split_part(preceded.carried, '|', 2), '') as carried_error_code,
        nullif(split_part(preceded.carried, '|', 3), '') as carried_vendor_error_code,
        greatest(preceded.started_at, ports.in_service_from_at) as started_at,
        least(preceded.ended_at, ports.in_service_until_at) as ended_at
    from preceded
    inner join ports on preceded.port_id = ports.port_id
    union all
    select
        port_id,
        case state when 'never_seen' then 'offline' else state end as state,
        cast(null as varchar) as error_code,
        cast(null as varchar) as vendor_error_code,
        started_at as state_started_at,
        {{ seconds_between('started_at', 'ended_at') }} as state_s,
        cast(null as varchar) as carried_state,
        cast(null as varchar) as carried_error_code,
        cast(null as varchar) as carried_vendor_error_code,
        started_at,
        ended_at
    from unheard
),

stated as (
    select
        evidence.port_id,
        evidence.state,
        evidence.error_code,
        evidence.vendor_error_code,
        evidence.state_started_at,
        evidence.state_s,
        evidence.carried_state,
        evidence.carried_error_code,
        evidence.carried_vendor_error_code,
        evidence.started_at,
        evidence.ended_at,
        outage_parts.outage_id,
        outage_parts.gap_class
    from evidence
    left join outage_parts
        on evidence.port_id = outage_parts.port_id and evidence.state_started_at = outage_parts.started_at
    where evidence.ended_at > evidence.started_at
),

closing_sites as (
    select distinct site_id
    from openings
),

changes as (
    select port_id, started_at as changed_at, 1 as begins, 0 as blocked, 0 as removed, 0 as proven, 0 as opened
    from stated
    union all
    select port_id, ended_at as changed_at, 0 as begins, 0 as blocked, 0 as removed, 0 as proven, 0 as opened
    from stated
    {%- for edge, sign in [('started_at', 1), ('ended_at', -1)] %}
    union all
    select
        port_id,
        {{ edge }} as changed_at,
        0 as begins,
        case when evse_status = 'BLOCKED' then {{ sign }} else 0 end as blocked,
        case when evse_status = 'BLOCKED' then 0 else {{ sign }} end as removed,
        0 as proven,
        0 as opened
    from ocpi_status
    where {{ edge }} is not null
    union all
    select port_id, {{ edge }} as changed_at, 0 as begins, 0 as blocked, 0 as removed, {{ sign }} as proven, 0 as opened
    from proofs
    union all
    -- an exclusion only cuts: which one excuses what is for the policy to say
    select port_id, {{ edge }} as changed_at, 0 as begins, 0 as blocked, 0 as removed, 0 as proven, 0 as opened
    from exclusions
    union all
    select
        ports.port_id,
        openings.{{ edge }} as changed_at,
        0 as begins,
        0 as blocked,
        0 as removed,
        0 as proven,
        {{ sign }} as opened
    from openings
    inner join ports on openings.site_id = ports.site_id
    {%- endfor %}
    union all
    -- a port is judged only while it is in service, and not before its first month
    select port_id, in_service_from_at as changed_at, 0 as begins, 0 as blocked, 0 as removed, 0 as proven, 0 as opened
    from ports
    union all
    select port_id, in_service_until_at as changed_at, 0 as begins, 0 as blocked, 0 as removed, 0 as proven, 0 as opened
    from ports
    union all
    select
        port_id,
        {{ local_midnight('first_month', 'time_zone') }} as changed_at,
        0 as begins,
        0 as blocked,
        0 as removed,
        0 as proven,
        0 as opened
    from ports
),

instants as (
    select
        port_id,
        changed_at,
        max(begins) as begins,
        sum(blocked) as blocked,
        sum(removed) as removed,
        sum(proven) as proven,
        sum(opened) as opened
    from changes
    group by port_id, changed_at
),

running as (
    select
        port_id,
        changed_at as started_at,
        lead(changed_at) over (partition by port_id order by changed_at) as ended_at,
        {{ last_known('case when begins = 1 then changed_at end', 'partition by port_id order by changed_at') }} as begun_at,
        sum(blocked) over (partition by port_id order by changed_at) as blocked,
        sum(removed) over (partition by port_id order by changed_at) as removed,
        sum(proven) over (partition by port_id order by changed_at) as proven,
        sum(opened) over (partition by port_id order by changed_at) as opened
    from instants
),

joined as (
    select
        running.port_id,
        running.started_at,
        running.ended_at,
        ports.time_zone,
        -- `working` is any state that every policy counts as up
        case when running.started_at < stated.ended_at then stated.state else 'working' end as state,
        case when running.started_at < stated.ended_at then stated.error_code end as error_code,
        case when running.started_at < stated.ended_at then stated.vendor_error_code end as vendor_error_code,
        case when running.started_at < stated.ended_at then stated.state_started_at end as state_started_at,
        case when running.started_at < stated.ended_at then stated.state_s end as state_s,
        case when running.started_at < stated.ended_at then stated.carried_state end as carried_state,
        case when running.started_at < stated.ended_at then stated.carried_error_code end as carried_error_code,
        case when running.started_at < stated.ended_at then stated.carried_vendor_error_code end as carried_vendor_error_code,
        case when running.started_at < stated.ended_at then stated.outage_id end as outage_id,
        case when running.started_at < stated.ended_at then stated.gap_class end as gap_class,
        running.proven > 0 and running.started_at < stated.ended_at and stated.state = 'offline' as is_proven,
        running.blocked > 0 as is_blocked,
        running.removed > 0 as is_removed,
        closing_sites.site_id is not null and running.opened = 0 as is_closed
    from running
    inner join ports on running.port_id = ports.port_id
    left join stated on running.port_id = stated.port_id and running.begun_at = stated.started_at
    left join closing_sites on ports.site_id = closing_sites.site_id
    where
        running.ended_at > running.started_at
        and running.started_at >= ports.in_service_from_at
        and running.ended_at <= ports.in_service_until_at
        and running.started_at >= {{ local_midnight('ports.first_month', 'ports.time_zone') }}
        and (running.started_at < stated.ended_at or running.blocked > 0 or running.removed > 0)
),

dated as (
    select
        *,
        {{ months_between_dates(
            month_start(local_date('started_at', 'time_zone')),
            month_start(local_date(plus_seconds('ended_at', -1), 'time_zone'))
        ) }} as month
    from joined
),

cut as (
    select
        *,
        cast(month as date) as local_month,
        greatest(started_at, {{ local_midnight('cast(month as date)', 'time_zone') }}) as piece_started_at,
        least(ended_at, {{ local_midnight(plus_months('cast(month as date)', '1'), 'time_zone') }}) as piece_ended_at
    from dated
)

select
    cut.port_id,
    cut.local_month,
    cut.piece_started_at as started_at,
    cut.piece_ended_at as ended_at,
    cast({{ seconds_between('cut.piece_started_at', 'cut.piece_ended_at') }} as bigint) as duration_s,
    cut.state,
    {{ working }} as is_working,
    cut.error_code,
    cut.vendor_error_code,
    cut.state_started_at,
    cut.state_s,
    nullif(cut.carried_state, '') as carried_state,
    cut.carried_error_code,
    cut.carried_vendor_error_code,
    cut.outage_id,
    cut.gap_class,
    coalesce(cut.is_proven, false) as is_proven,
    cut.is_blocked,
    cut.is_removed,
    cut.is_closed
from cut
left join port_states on cut.state = port_states.port_state
where cut.piece_ended_at > cut.piece_started_at
