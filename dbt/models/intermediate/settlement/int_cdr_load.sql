{# One row is one charge that only its CDR tells of, in one quarter hour (UTC): the energy it took then. #}
{# Nobody metered it: the energy is spread evenly over the time of the CDR, and where that makes no sense (no time, or
   more than a week) it stands in the quarter hour of the end. #}
with charges as (
    select * from {{ ref('int_charges') }}
    where charge_source = 'cdr'
),

cdrs as (
    select * from {{ ref('fct_cdr') }}
),

timed as (
    select
        charges.charge_id,
        charges.site_id,
        charges.energy_kwh,
        case
            when {{ seconds_between('cdrs.started_at', 'cdrs.ended_at') }} between 1 and 7 * 86400 then cdrs.started_at
            else coalesce(cdrs.ended_at, cdrs.started_at)
        end as from_at,
        coalesce(cdrs.ended_at, cdrs.started_at) as to_at
    from charges
    inner join cdrs on charges.charge_id = cdrs.cdr_key
    where
        charges.energy_kwh > 0
        and coalesce(cdrs.ended_at, cdrs.started_at) is not null
),

quarters as (
    select
        charge_id,
        site_id,
        energy_kwh,
        from_at,
        to_at,
        {{ seconds_between('from_at', 'to_at') }} as duration_s,
        {{ quarter_hours_between('from_at', 'to_at') }} as interval_start_at
    from timed
),

spread as (
    select
        charge_id,
        site_id,
        interval_start_at,
        energy_kwh,
        duration_s,
        case
            when duration_s = 0 then 1
            else {{ seconds_between(
                'from_at', "least(to_at, interval_start_at + interval '15' minute)"
            ) }}
        end as elapsed_s
    from quarters
),

-- Rounding the running total and not each quarter keeps a charge's energy whole.
running as (
    select
        charge_id,
        site_id,
        interval_start_at,
        duration_s,
        {{ prorated('energy_kwh', 'elapsed_s', 'greatest(duration_s, 1)') }} as energy_so_far_kwh
    from spread
),

parts as (
    select
        charge_id,
        site_id,
        interval_start_at,
        case when duration_s = 0 then 'whole' else 'even' end as cost_method,
        energy_so_far_kwh - coalesce(
            lag(energy_so_far_kwh) over (partition by charge_id order by interval_start_at), 0
        ) as energy_kwh
    from running
)

select
    charge_id,
    site_id,
    interval_start_at,
    cost_method,
    cast(energy_kwh as decimal(18, 6)) as energy_kwh
from parts
where energy_kwh <> 0
