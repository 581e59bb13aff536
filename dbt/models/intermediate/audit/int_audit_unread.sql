{# One row is one CDR that could not be read, with the defect of the catalogue that kept it in quarantine. #}
with quarantined as (
    select * from {{ source('quarantine', 'record') }}
    where path like 'ocpi/cdrs/%' and record_number is not null
),

landed as (
    select * from {{ source('meta', 'landed_file') }}
),

files as (
    select
        source_id,
        min(peer) as peer
    from landed
    group by source_id
),

judged as (
    select
        *,
        case
            when reason = 'missing_required' and column_name = 'currency' then 'currency_null'
            when reason = 'missing_required' then 'missing_required'
            when reason = 'bad_datetime' then 'bad_datetime'
            when reason in ('bad_type', 'bad_number', 'bad_boolean', 'bad_text', 'bad_date', 'bad_time', 'bad_token')
                then 'bad_type'
        end as defect_id
    from quarantined
)

-- The text is cut, so that it may be no JSON any more; ids stand at its beginning.
select
    judged.source_id,
    judged.record_number,
    coalesce(files.peer, '') as peer,
    coalesce({{ json_field('judged.text', 'id') }}, regexp_extract(judged.text, '"id":"([^"]+)"', 1)) as cdr_id,
    nullif(
        coalesce({{ json_field('judged.text', 'country_code') }}, regexp_extract(judged.text, '"country_code":"([^"]+)"', 1)), ''
    ) as country_code,
    nullif(
        coalesce({{ json_field('judged.text', 'party_id') }}, regexp_extract(judged.text, '"party_id":"([^"]+)"', 1)), ''
    ) as party_id,
    judged.defect_id,
    coalesce(judged.column_name || ': ', '') || coalesce(judged.expected, '') as expected_text,
    coalesce(judged.value, 'nothing') as found_text
from judged
left join files on judged.source_id = files.source_id
where judged.defect_id is not null
