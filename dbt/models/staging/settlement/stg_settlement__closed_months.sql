{# One row is one month of one contract that was published as closed. #}
with closed as (
    select * from {{ source('settlement', 'closed_month') }}
)

-- A month is closed once; should two runs have done it, the first one counts.
select
    contract_id,
    site_id,
    local_month,
    run_id,
    closed_at,
    line_count
from closed
qualify row_number() over (partition by contract_id, local_month order by run_id) = 1
