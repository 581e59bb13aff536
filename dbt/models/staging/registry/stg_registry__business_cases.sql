{# One row is one month of a site's business plan of the registry as it stands now. #}
with current_rows as (
    {{ current_registry_rows('business_case', ['site_id', 'month']) }}
)

select
    site_id,
    month,
    planned_revenue,
    planned_cost,
    currency,
    discount_rate,
    horizon_years,
    path,
    line_number
from current_rows
