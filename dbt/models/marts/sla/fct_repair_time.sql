{# One row is one vendor, model and firmware, with how often its ports failed, how long repairs took, and how often the fault
   came back. #}
with maintenance as (
    select *
    from {{ ref('fct_maintenance') }}
    where kind = 'corrective'
)

select
    coalesce(vendor, '') as vendor,
    coalesce(model, '') as model,
    coalesce(firmware_version, '') as firmware_version,
    count(distinct port_id) as port_count,
    count(*) as repair_count,
    cast(sum(case when is_open then 1 else 0 end) as bigint) as open_count,
    cast(sum(case when is_repeat then 1 else 0 end) as bigint) as repeat_count,
    cast(sum(down_s) as bigint) as down_s,
    -- of repairs that are done; an open one has no duration yet
    cast(avg(case when not is_open then down_s end) as double) / 3600 as repair_mean_h,
    cast(median(case when not is_open then down_s end) as double) / 3600 as repair_median_h,
    cast(max(case when not is_open then down_s end) as double) / 3600 as repair_longest_h
from maintenance
group by coalesce(vendor, ''), coalesce(model, ''), coalesce(firmware_version, '')
