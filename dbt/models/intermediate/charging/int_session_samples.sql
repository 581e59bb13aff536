{# One row is one instant at which a session was metered: the energy register and the active power then. #}
with samples as (
    select * from {{ ref('stg_ocpp__meter_samples') }}
),

windows as (
    select * from {{ ref('int_session_windows') }}
),

sessions as (
    select * from {{ ref('int_sessions') }}
),

-- One message may hold several instants, and per instant a total or its phases.
metered as (
    select
        station_id,
        transaction_id,
        frame_id,
        {{ charger_time('sampled_at', 'received_at') }} as sampled_at,
        min(received_at) as received_at,
        max(case when measurand = 'Energy.Active.Import.Register' and phase is null then value end) as register_wh,
        max(
            case
                when measurand = 'Energy.Active.Import.Register' and phase is null and context = 'Transaction.Begin'
                    then value
            end
        ) as begin_wh,
        max(
            case
                when measurand = 'Energy.Active.Import.Register' and phase is null and context = 'Transaction.End'
                    then value
            end
        ) as end_wh,
        coalesce(
            max(case when measurand = 'Power.Active.Import' and phase is null then value end),
            sum(case when measurand = 'Power.Active.Import' and phase in ('L1', 'L2', 'L3') then value end),
            sum(case when measurand = 'Power.Active.Import' and phase in ('L1-N', 'L2-N', 'L3-N') then value end)
        ) as power_w
    from samples
    where
        transaction_id is not null
        and coalesce(location, 'Outlet') = 'Outlet'
    group by station_id, transaction_id, frame_id, {{ charger_time('sampled_at', 'received_at') }}
)

-- A stop or an Ended often tells the whole series again: an instant counts once.
select
    windows.session_id,
    metered.sampled_at,
    max(metered.register_wh) as register_wh,
    max(metered.begin_wh) as begin_wh,
    max(metered.end_wh) as end_wh,
    cast(max(metered.power_w) as decimal(18, 4)) as power_w
from metered
inner join windows
    on
        metered.station_id = windows.station_id
        and metered.transaction_id = windows.transaction_id
        and metered.sampled_at < windows.to_at
        and (metered.sampled_at >= windows.from_at or metered.received_at >= windows.or_received_from)
        and not coalesce(metered.received_at >= windows.received_before, false)
inner join sessions
    on windows.session_id = sessions.session_id
    -- Some stations keep the id of a stopped transaction on later samples; they belong to no session.
    and metered.sampled_at <= coalesce(sessions.stopped_at + interval '60' second, metered.sampled_at)
group by windows.session_id, metered.sampled_at
