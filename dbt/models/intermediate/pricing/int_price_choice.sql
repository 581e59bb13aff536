{# One row is one tariff that a CDR asks for, by id in its periods or without naming one, with the version chosen. #}
with sessions as (
    select * from {{ ref('int_price_session') }}
),

periods as (
    select * from {{ ref('int_price_period') }}
),

price_lists as (
    select * from {{ ref('int_price_list') }}
),

tariffs as (
    select * from {{ ref('stg_ocpi__tariffs') }}
),

connectors as (
    select * from {{ ref('stg_ocpi__connectors') }}
),

requests as (
    select
        cdr_number,
        tariff_id_key
    from periods
    group by cdr_number, tariff_id_key
),

asked as (
    select
        requests.cdr_number,
        requests.tariff_id_key,
        sessions.cdr_key,
        sessions.party,
        sessions.location_key,
        sessions.evse_uid_key,
        sessions.connector_id_key,
        sessions.preferred_tariff_type,
        sessions.started_at
    from requests
    inner join sessions on requests.cdr_number = sessions.cdr_number
),

embedded as (
    select
        tariffs.embedded_in_cdr_key as cdr_key,
        price_lists.price_list_number,
        price_lists.tariff_id_key,
        price_lists.tariff_type,
        price_lists.valid_from_at,
        price_lists.valid_to_at,
        price_lists.last_updated_at
    from tariffs
    inner join price_lists on tariffs.tariff_version_id = price_lists.tariff_version_id
    where tariffs.embedded_in_cdr_key is not null
),

connector_offers as (
    select
        location_key,
        lower(evse_uid) as evse_uid_key,
        lower(connector_id) as connector_id_key,
        {{ ocpi_party() }} as party,
        ',' || replace(lower(tariff_ids), ' ', '') || ',' as tariff_id_keys
    from connectors
    where tariff_ids is not null
),

-- The tariffs a connector offers, for CDRs that carry and name none.
connector_tariffs as (
    select distinct
        connector_offers.location_key,
        connector_offers.evse_uid_key,
        connector_offers.connector_id_key,
        price_lists.price_list_number,
        price_lists.tariff_type,
        price_lists.valid_from_at,
        price_lists.valid_to_at,
        price_lists.last_updated_at
    from connector_offers
    inner join price_lists
        on
            connector_offers.party = price_lists.party
            and contains(connector_offers.tariff_id_keys, ',' || price_lists.tariff_id_key || ',')
    where price_lists.is_from_tariffs_module
),

candidates as (
    select
        asked.cdr_number,
        asked.tariff_id_key,
        asked.preferred_tariff_type,
        asked.started_at,
        1 as source_rank,
        embedded.price_list_number,
        embedded.tariff_type,
        embedded.valid_from_at,
        embedded.valid_to_at,
        embedded.last_updated_at
    from asked
    inner join embedded
        on
            asked.cdr_key = embedded.cdr_key
            and (asked.tariff_id_key = '' or asked.tariff_id_key = embedded.tariff_id_key)
    union all
    select
        asked.cdr_number,
        asked.tariff_id_key,
        asked.preferred_tariff_type,
        asked.started_at,
        2 as source_rank,
        price_lists.price_list_number,
        price_lists.tariff_type,
        price_lists.valid_from_at,
        price_lists.valid_to_at,
        price_lists.last_updated_at
    from asked
    inner join price_lists
        on asked.party = price_lists.party and asked.tariff_id_key = price_lists.tariff_id_key
    where asked.tariff_id_key <> '' and price_lists.is_from_tariffs_module
    union all
    select
        asked.cdr_number,
        asked.tariff_id_key,
        asked.preferred_tariff_type,
        asked.started_at,
        3 as source_rank,
        connector_tariffs.price_list_number,
        connector_tariffs.tariff_type,
        connector_tariffs.valid_from_at,
        connector_tariffs.valid_to_at,
        connector_tariffs.last_updated_at
    from asked
    inner join connector_tariffs
        on
            asked.location_key = connector_tariffs.location_key
            and asked.evse_uid_key = connector_tariffs.evse_uid_key
            and asked.connector_id_key = connector_tariffs.connector_id_key
    where asked.tariff_id_key = ''
),

judged as (
    select
        *,
        case
            when coalesce(valid_from_at <= started_at, true) and coalesce(started_at < valid_to_at, true) then 0
            else 1
        end as validity_rank,
        case when tariff_type = preferred_tariff_type then 0 when tariff_type is null then 1 else 2 end as type_rank,
        case when last_updated_at <= started_at then 0 else 1 end as knowledge_rank
    from candidates
),

chosen as (
    select
        cdr_number,
        tariff_id_key,
        source_rank,
        price_list_number,
        validity_rank
    from judged
    -- What an offer of the connector cannot prove, the CDR's own tariff or id does: those may be out of their validity.
    where source_rank < 3 or validity_rank = 0
    qualify row_number() over (
        partition by cdr_number, tariff_id_key
        order by
            source_rank asc,
            validity_rank asc,
            type_rank asc,
            knowledge_rank asc,
            case when knowledge_rank = 0 then last_updated_at end desc nulls last,
            last_updated_at asc nulls last,
            price_list_number asc
    ) = 1
)

select
    requests.cdr_number,
    requests.tariff_id_key,
    chosen.price_list_number,
    case chosen.source_rank when 1 then 'cdr' when 2 then 'tariffs_module' when 3 then 'connector' end as tariff_source,
    chosen.validity_rank = 0 as is_valid_at_start
from requests
left join chosen
    on requests.cdr_number = chosen.cdr_number and requests.tariff_id_key = chosen.tariff_id_key
