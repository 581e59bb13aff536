{# One row is one status that means a port state, with the time that counts for it and what it is about. #}
with sent as (
    select *
    from {{ ref('stg_ocpp__status_events') }}
),

clocks as (
    select *
    from {{ ref('int_station_clock') }}
),

-- a clock known to be wrong is put right first; what is still implausible after that is judged as any other time
statuses as (
    select
        sent.frame_id,
        sent.station_id,
        sent.protocol,
        sent.received_at,
        {{ corrected_time('sent.event_at', 'sent.received_at', 'clocks.correction_s') }} as event_at,
        sent.event_at as sent_event_at,
        sent.reported_by,
        sent.evse_id,
        sent.connector_id,
        sent.status,
        sent.error_code,
        sent.vendor_error_code
    from sent
    left join clocks on {{ clock_tells('clocks', 'sent', 'event_at', 'sent.reported_by') }}
),

status_map as (
    select *
    from {{ ref('ocpp_status_map') }}
),

watch as (
    select *
    from {{ ref('int_station_watch') }}
),

late as (
    {{ late_deliveries('statuses') }}
),

timed as (
    select
        statuses.frame_id,
        statuses.station_id,
        statuses.received_at,
        statuses.evse_id,
        statuses.connector_id,
        statuses.reported_by,
        statuses.status,
        status_map.port_state as state,
        -- one text, so that the two codes travel together; NoError is OCPP 1.6's way to say that there is none
        coalesce(nullif(statuses.error_code, 'NoError'), '')
        || '|'
        || coalesce(statuses.vendor_error_code, '') as error_codes,
        {{ message_time('statuses.event_at', 'statuses.received_at', 'late.frame_id is not null') }} as status_at,
        statuses.event_at,
        statuses.sent_event_at,
        case
            -- 0 is the whole station, and so is a status that names neither EVSE nor connector
            when coalesce(statuses.evse_id, statuses.connector_id, 0) = 0 then 'station'
            when statuses.evse_id is not null and coalesce(statuses.connector_id, 0) = 0 then 'evse'
            else 'connector'
        end as subject
    from statuses
    inner join status_map
        on
            coalesce(statuses.protocol, case when statuses.evse_id is null then 'ocpp1.6' else 'ocpp2.0.1' end)
            = status_map.protocol
            and lower(statuses.status) = lower(status_map.status)
    left join late on statuses.frame_id = late.frame_id and statuses.event_at = late.event_at
)

select
    timed.frame_id,
    timed.station_id,
    timed.subject,
    timed.evse_id,
    timed.connector_id,
    timed.status,
    timed.state,
    timed.error_codes,
    timed.received_at,
    timed.reported_by,
    timed.sent_event_at as event_at,
    timed.status_at,
    case
        when coalesce(timed.status_at <> timed.event_at, true) then 'received_used'
        when timed.event_at <> timed.sent_event_at then 'offset_corrected'
        when timed.event_at < timed.received_at - interval '300' second then 'late'
        else 'as_sent'
    end as status_at_quality,
    -- nothing is known beyond the end of the log, however far ahead the charger's clock is
    {{ whole_second('least(timed.status_at, watch.known_until_at)') }} as changed_at
from timed
inner join watch on timed.station_id = watch.station_id
where timed.status_at is not null
