{# One row is one session in the quarter hour that set a site's demand charge of a month, with its part of the charge. #}
{# Parts are by the energy taken in that quarter hour. Where a ratchet set the charge, the peak is the one of the earlier
   month. #}
with charges as (
    select * from {{ ref('fct_demand_charge') }}
),

loads as (
    select * from {{ ref('int_session_load') }}
),

sessions as (
    select * from {{ ref('fct_session') }}
),

-- The ratchet looks at the highest peak of the eleven months before; of equal ones the first.
earlier as (
    select
        charges.site_id,
        charges.local_month,
        charges.currency,
        before.peak_at
    from charges
    inner join charges as before
        on
            charges.site_id = before.site_id
            and before.local_month < charges.local_month
            and before.local_month >= charges.local_month - interval '11' month
            and before.peak_at is not null
    where charges.ratchet_power_kw > charges.peak_power_kw
    qualify row_number() over (
        partition by charges.site_id, charges.local_month, charges.currency
        order by before.peak_power_kw desc, before.peak_at asc
    ) = 1
),

peaks as (
    select
        charges.site_id,
        charges.owner_id,
        charges.operator_id,
        charges.local_month,
        charges.currency,
        charges.demand_charge_net,
        coalesce(earlier.peak_at, charges.peak_at) as peak_at
    from charges
    left join earlier
        on
            charges.site_id = earlier.site_id
            and charges.local_month = earlier.local_month
            and charges.currency = earlier.currency
),

parts as (
    select
        peaks.*,
        loads.session_id,
        loads.energy_kwh,
        sum(loads.energy_kwh) over (
            partition by peaks.site_id, peaks.local_month, peaks.currency
        ) as peak_energy_kwh,
        sum(loads.energy_kwh) over (
            partition by peaks.site_id, peaks.local_month, peaks.currency
            order by loads.session_id
            rows between unbounded preceding and current row
        ) as energy_so_far_kwh
    from peaks
    inner join loads
        on
            peaks.site_id = loads.site_id
            and peaks.peak_at = loads.interval_start_at
),

-- Rounding the running total keeps the charge whole.
running as (
    select
        *,
        {{ prorated('demand_charge_net', millionths('energy_so_far_kwh'), millionths('peak_energy_kwh')) }}
            as charge_so_far_net
    from parts
)

select
    running.site_id,
    running.owner_id,
    running.operator_id,
    running.local_month,
    running.currency,
    running.session_id,
    sessions.port_id,
    running.peak_at,
    cast(running.energy_kwh as decimal(18, 6)) as energy_kwh,
    cast(running.energy_kwh * 4 as decimal(18, 3)) as average_power_kw,
    cast(running.energy_kwh as double) / nullif(cast(running.peak_energy_kwh as double), 0) as share_ratio,
    cast(running.charge_so_far_net - coalesce(lag(running.charge_so_far_net) over (
        partition by running.site_id, running.local_month, running.currency order by running.session_id
    ), 0) as decimal(18, 6)) as demand_charge_net
from running
inner join sessions on running.session_id = sessions.session_id
