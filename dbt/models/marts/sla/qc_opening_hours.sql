{# One row is one part of a site's opening hours that is not understood, or left out. #}
with rules as (
    select *
    from {{ ref('int_sla_opening_rule') }}
)

select
    site_id,
    opening_hours,
    cast(rule_number as integer) as rule_number,
    rule,
    case
        when not is_understood then 'not understood: the site counts as open all the time'
        else 'holidays are not known here: the rule is left out'
    end as detail
from rules
where not is_understood or is_holiday_only
