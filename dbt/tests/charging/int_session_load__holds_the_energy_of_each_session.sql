-- Each session's quarter hours add up to its energy.
with loads as (
    select
        session_id,
        sum(energy_kwh) as energy_kwh
    from {{ ref('int_session_load') }}
    group by session_id
),

sessions as (
    select
        session_id,
        energy_kwh
    from {{ ref('int_session_energy') }}
    where energy_kwh > 0
)

select
    coalesce(loads.session_id, sessions.session_id) as session_id,
    loads.energy_kwh as load_energy_kwh,
    sessions.energy_kwh as session_energy_kwh
from loads
full outer join sessions on loads.session_id = sessions.session_id
where abs(coalesce(loads.energy_kwh, 0) - coalesce(sessions.energy_kwh, 0)) > 0.000001
