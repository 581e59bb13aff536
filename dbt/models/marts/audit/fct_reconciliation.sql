{# One row is one OCPP session with the CDR that bills it, a session that none bills, a CDR without session, or one more
   CDR of a session. #}
{# Credits, what they take back, and compensations for charging at home bill nothing and are left out. #}
with sessions as (
    select * from {{ ref('fct_session') }}
),

cdrs as (
    select * from {{ ref('int_cdrs') }}
),

cdr_sessions as (
    select * from {{ ref('int_cdr_sessions') }}
),

site_currencies as (
    select * from {{ ref('int_site_currency') }}
),

as_of as (
    select * from {{ ref('int_as_of') }}
),

defects as (
    select * from {{ ref('cdr_defects') }}
    where defect_id = 'session_without_cdr'
),

-- Of several CDRs of one session the one that fits best bills it; the others are duplicates.
pairs as (
    select
        cdrs.cdr_key,
        sessions.session_id,
        cdr_sessions.match_method,
        row_number() over (
            partition by sessions.session_id
            order by
                case cdr_sessions.match_method when 'transaction_id' then 1 when 'place_token_energy' then 2 else 3 end,
                abs(cdrs.energy_kwh - sessions.energy_kwh),
                abs({{ seconds_between('sessions.started_at', 'cdrs.started_at') }}),
                cdrs.last_updated_at,
                cdrs.cdr_key
        ) as place
    from cdr_sessions
    inner join cdrs on cdr_sessions.cdr_key = cdrs.cdr_key
    inner join sessions on cdr_sessions.session_id = sessions.session_id
    where cdrs.is_counted
),

-- What a kWh brings at a site, to value what is not billed.
site_prices as (
    select
        cdrs.site_id,
        cdrs.currency,
        cast(sum(cdrs.billed_net) as double) / nullif(cast(sum(cdrs.energy_kwh) as double), 0) as price_per_kwh
    from cdrs
    where cdrs.is_counted and cdrs.energy_kwh > 0 and cdrs.billed_net >= 0
    group by cdrs.site_id, cdrs.currency
),

-- Sites that have CDRs or logs at all, and from when to when: a feed that is not there leaves nothing unbilled.
billed_sites as (
    select
        site_id,
        min(started_at) as first_at
    from cdrs
    group by site_id
),

logged_sites as (
    select
        site_id,
        min(started_at) as first_at,
        max(last_seen_at) as last_at
    from sessions
    group by site_id
),

credited as (
    select distinct cdr_sessions.session_id
    from cdr_sessions
    inner join cdrs on cdr_sessions.cdr_key = cdrs.cdr_key
    where cdrs.is_credited
),

-- A restart in the middle of a charge makes two sessions of one CDR: the second lies inside the CDR of the first.
inside as (
    select distinct sessions.session_id
    from sessions
    inner join cdrs
        on
            sessions.port_id = cdrs.port_id
            and sessions.id_token_hash = cdrs.token_hash
            and sessions.started_at >= cdrs.started_at
            and coalesce(sessions.ended_at, sessions.last_seen_at) <= cdrs.ended_at + interval '5' minute
    inner join pairs on cdrs.cdr_key = pairs.cdr_key
    where pairs.session_id <> sessions.session_id
),

joined as (
    select
        sessions.session_id,
        cdrs.cdr_key,
        coalesce(pairs.place, 1) as place,
        pairs.match_method,
        cdrs.energy_kwh as cdr_energy_kwh,
        sessions.energy_kwh as session_energy_kwh,
        cdrs.duration_s - sessions.duration_s as time_difference_s,
        {{ seconds_between('sessions.started_at', 'cdrs.started_at') }} as start_difference_s
    from pairs
    inner join sessions on pairs.session_id = sessions.session_id
    inner join cdrs on pairs.cdr_key = cdrs.cdr_key
    union all
    select
        sessions.session_id,
        cast(null as varchar) as cdr_key,
        1 as place,
        cast(null as varchar) as match_method,
        cast(null as decimal(18, 6)) as cdr_energy_kwh,
        sessions.energy_kwh as session_energy_kwh,
        cast(null as bigint) as time_difference_s,
        cast(null as bigint) as start_difference_s
    from sessions
    left join pairs on sessions.session_id = pairs.session_id
    where pairs.session_id is null
    union all
    select
        cast(null as varchar) as session_id,
        cdrs.cdr_key,
        1 as place,
        cast(null as varchar) as match_method,
        cdrs.energy_kwh as cdr_energy_kwh,
        cast(null as decimal(18, 6)) as session_energy_kwh,
        cast(null as bigint) as time_difference_s,
        cast(null as bigint) as start_difference_s
    from cdrs
    left join pairs on cdrs.cdr_key = pairs.cdr_key
    where cdrs.is_counted and pairs.cdr_key is null
),

judged as (
    select
        *,
        cdr_energy_kwh - session_energy_kwh as energy_difference_kwh,
        case
            when session_id is null then 'cdr_without_session'
            when cdr_key is null then 'session_without_cdr'
            when place > 1 then 'duplicate_cdr'
            -- A meter and a bill may be a tenth of a kWh or one percent apart, clocks five minutes.
            when
                abs(cdr_energy_kwh - session_energy_kwh) > greatest(0.1, 0.01 * session_energy_kwh)
                then 'energy_differs'
            when abs(time_difference_s) > 300 or abs(start_difference_s) > 300 then 'time_differs'
            else 'matched'
        end as outcome
    from joined
),

aged as (
    select
        judged.session_id,
        judged.cdr_key,
        judged.outcome,
        judged.match_method,
        judged.cdr_energy_kwh,
        judged.session_energy_kwh,
        judged.energy_difference_kwh,
        judged.time_difference_s,
        judged.start_difference_s,
        cdrs.cdr_id,
        cdrs.peer,
        cdrs.emsp_id,
        cdrs.billed_net,
        coalesce(cdrs.site_id, sessions.site_id) as site_id,
        coalesce(sessions.port_id, cdrs.port_id) as port_id,
        coalesce(cdrs.owner_id, sessions.owner_id) as owner_id,
        coalesce(cdrs.operator_id, sessions.operator_id) as operator_id,
        coalesce(cdrs.currency, site_currencies.currency, 'XXX') as currency,
        coalesce(sessions.local_date, cdrs.local_date) as local_date,
        coalesce(sessions.started_at, cdrs.started_at) as started_at,
        {{ whole_days('coalesce(cdrs.ended_at, sessions.ended_at, sessions.last_seen_at)', 'as_of.as_of_at') }} as age_days,
        case
            when judged.outcome = 'session_without_cdr'
                then case
                    when sessions.is_open then 'still_running'
                    when coalesce(sessions.energy_kwh, 0) = 0 then 'no_energy'
                    when credited.session_id is not null then 'credited'
                    when inside.session_id is not null then 'inside_another_cdr'
                    when billed_sites.site_id is null then 'site_without_cdrs'
                    when sessions.started_at < billed_sites.first_at then 'before_the_first_cdr'
                    when
                        {{ whole_days('coalesce(sessions.ended_at, sessions.last_seen_at)', 'as_of.as_of_at') }}
                        < defects.threshold
                        then 'too_recent'
                    when not sessions.is_complete then 'incomplete_in_the_log'
                    else 'not_billed'
                end
            when judged.outcome = 'cdr_without_session'
                then case
                    when logged_sites.site_id is null then 'site_without_logs'
                    when cdrs.ended_at < logged_sites.first_at or cdrs.started_at > logged_sites.last_at
                        then 'outside_the_logs'
                    else 'not_logged'
                end
            when judged.outcome = 'duplicate_cdr' then 'session_is_billed_already'
            when judged.outcome = 'energy_differs' and judged.energy_difference_kwh > 0 then 'more_billed_than_metered'
            when judged.outcome = 'energy_differs' then 'less_billed_than_metered'
            when judged.outcome = 'time_differs' and abs(judged.start_difference_s) > 300 then 'start_differs'
            when judged.outcome = 'time_differs' then 'duration_differs'
        end as reason
    from judged
    left join sessions on judged.session_id = sessions.session_id
    left join cdrs on judged.cdr_key = cdrs.cdr_key
    left join site_currencies on sessions.site_id = site_currencies.site_id
    left join credited on judged.session_id = credited.session_id
    left join inside on judged.session_id = inside.session_id
    left join billed_sites on sessions.site_id = billed_sites.site_id
    left join logged_sites on cdrs.site_id = logged_sites.site_id
    cross join as_of
    cross join defects
)

select
    md5(coalesce(aged.session_id, '') || '|' || coalesce(aged.cdr_key, '')) as reconciliation_key,
    aged.session_id,
    aged.cdr_key,
    aged.cdr_id,
    aged.outcome,
    aged.reason,
    aged.match_method,
    cast(aged.energy_difference_kwh as decimal(18, 6)) as energy_difference_kwh,
    cast(aged.time_difference_s as bigint) as time_difference_s,
    cast(aged.start_difference_s as bigint) as start_difference_s,
    aged.age_days,
    cast(case
        when aged.reason in ('not_billed', 'incomplete_in_the_log')
            then cast(aged.session_energy_kwh as double) * site_prices.price_per_kwh
        when aged.outcome = 'session_without_cdr' then 0
        when aged.outcome in ('cdr_without_session', 'duplicate_cdr') then abs(aged.billed_net)
        when aged.outcome = 'energy_differs'
            then
                abs(aged.billed_net)
                * cast(abs(aged.energy_difference_kwh) as double)
                / nullif(cast(abs(aged.cdr_energy_kwh) as double), 0)
        else 0
    end as decimal(18, 6)) as money_at_stake,
    aged.currency,
    aged.peer,
    aged.emsp_id,
    aged.site_id,
    aged.port_id,
    aged.owner_id,
    aged.operator_id,
    aged.started_at,
    aged.local_date
from aged
left join site_prices on aged.site_id = site_prices.site_id and aged.currency = site_prices.currency
