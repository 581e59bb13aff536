-- The quarter hours of a site hold the energy of its sessions, no more and no less.
with loads as (
    select
        site_id,
        sum(energy_kwh) as energy_kwh
    from {{ ref('fct_load_15min') }}
    group by site_id
),

sessions as (
    select
        site_id,
        sum(energy_kwh) as energy_kwh
    from {{ ref('fct_session') }}
    where energy_kwh > 0
    group by site_id
)

select
    coalesce(loads.site_id, sessions.site_id) as site_id,
    loads.energy_kwh as load_energy_kwh,
    sessions.energy_kwh as session_energy_kwh
from loads
full outer join sessions on loads.site_id = sessions.site_id
where abs(coalesce(loads.energy_kwh, 0) - coalesce(sessions.energy_kwh, 0)) > 0.000001
