{# One row is one pair of error codes, as reported with a fault, and who is answerable for it. #}
{# The vendor's own code says more than the protocol's, so it is asked first; of several codes the first that somebody is
   named for, in the order evse, shared, vandalism, grid, comms, vehicle, user: a failure of the equipment is not excused by
   one of the driver's beside it. A pair that no code explains is attributed to nobody (unknown). #}
with port_state as (
    select *
    from {{ ref('fct_port_state') }}
    where state = 'faulted'
),

codes as (
    select *
    from {{ ref('error_attribution') }}
),

reported as (
    select distinct
        error_code,
        vendor_error_code
    from port_state
),

words as (
    select
        error_code,
        vendor_error_code,
        1 as code_rank,
        {{ words_of(single_codes('vendor_error_code')) }} as code
    from reported
    where vendor_error_code is not null
    union all
    select
        error_code,
        vendor_error_code,
        2 as code_rank,
        {{ words_of(single_codes('error_code')) }} as code
    from reported
    where error_code is not null
),

explained as (
    select
        words.error_code,
        words.vendor_error_code,
        codes.code,
        codes.name,
        codes.attribution
    from words
    inner join codes on words.code = codes.code and codes.attribution <> 'unknown'
    qualify row_number() over (
        partition by words.error_code, words.vendor_error_code
        order by
            words.code_rank,
            case codes.attribution
                when 'evse' then 1 when 'shared' then 2 when 'vandalism' then 3 when 'grid' then 4 when 'comms' then 5
                when 'vehicle' then 6 else 7
            end,
            codes.code
    ) = 1
)

select
    reported.error_code,
    reported.vendor_error_code,
    explained.code,
    explained.name as code_name,
    coalesce(explained.attribution, 'unknown') as attribution
from reported
left join explained
    on
        coalesce(reported.error_code, '') = coalesce(explained.error_code, '')
        and coalesce(reported.vendor_error_code, '') = coalesce(explained.vendor_error_code, '')
