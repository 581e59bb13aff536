{# One row is one pair of error codes, as reported with a fault, that a policy does not count as down. #}
{# A fault is excused by its codes if the policy names its error_code, or all of its vendor's own codes: one real failure
   among them is enough to make it count. #}
with segments as (
    select *
    from {{ ref('int_sla_segment') }}
),

policies as (
    select *
    from {{ ref('dim_sla_policy') }}
    where fault_codes_not_down is not null
),

reported as (
    select
        error_code,
        vendor_error_code
    from segments
    where state = 'faulted'
    union
    select
        carried_error_code as error_code,
        carried_vendor_error_code as vendor_error_code
    from segments
    where carried_state = 'faulted'
),

texts as (
    select distinct code_text
    from (
        select error_code as code_text from reported
        union all
        select vendor_error_code as code_text from reported
    ) as both_codes
    where code_text is not null
),

words as (
    select
        code_text,
        {{ words_of(single_codes('code_text')) }} as code
    from texts
),

named as (
    select
        policy_id,
        {{ words_of('fault_codes_not_down') }} as code
    from policies
),

excused as (
    select
        policies.policy_id,
        words.code_text
    from words
    cross join policies
    left join named on policies.policy_id = named.policy_id and words.code = named.code
    group by policies.policy_id, words.code_text
    having count(*) = count(named.code)
)

select distinct
    excused.policy_id,
    reported.error_code,
    reported.vendor_error_code
from reported
inner join excused
    on reported.vendor_error_code = excused.code_text or reported.error_code = excused.code_text
