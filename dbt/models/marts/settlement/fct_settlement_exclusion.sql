{# One row is one CDR that stands in no statement, and why. #}
with cdrs as (
    select * from {{ ref('int_settlement_cdr') }}
    where exclusion_reason is not null
)

select
    cdr_key,
    cdr_id,
    site_id,
    site_owner_id as owner_id,
    local_date,
    local_month,
    currency,
    billed_net,
    energy_kwh,
    exclusion_reason
from cdrs
