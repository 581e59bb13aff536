"""The SQL that types a chunk's records into the OCPP lake tables.

``FRAME_SQL`` reads the tables ``record`` and ``station_protocol`` (see :mod:`pipelines.ocpp.chunks`); ``TABLE_SQL`` gives
per lake table the SELECT over ``record`` and ``frame``, the view of ``FRAME_SQL``, without the columns that have one value
in a whole file. Field names and defaults are those of OCPP 1.6 (edition 2), 2.0.1 and 2.1.
"""

from pipelines.pseudonym import OCPP_SECRET_KEYS


def _sql_list(names: str) -> str:
    return ", ".join(f"'{name}'" for name in names.split())


# Calls that only stations send, and only central systems: they tell the direction of a log that names none.
STATION_ACTIONS = _sql_list(
    "BootNotification Heartbeat StatusNotification StartTransaction StopTransaction MeterValues Authorize "
    "TransactionEvent NotifyEvent NotifyReport NotifyMonitoringReport NotifyChargingLimit NotifyCustomerInformation "
    "NotifyDisplayMessages NotifyEVChargingNeeds NotifyEVChargingSchedule DiagnosticsStatusNotification "
    "FirmwareStatusNotification LogStatusNotification SecurityEventNotification SignCertificate "
    "SignedFirmwareStatusNotification ReportChargingProfiles ReservationStatusUpdate ClearedChargingLimit "
    "Get15118EVCertificate GetCertificateStatus PublishFirmwareStatusNotification BatterySwap "
    "NotifyDERAlarm NotifyDERStartStop NotifyPriorityCharging NotifySettlement NotifyPeriodicEventStream "
    "OpenPeriodicEventStream ClosePeriodicEventStream PullDynamicScheduleUpdate ReportDERControl VatNumberValidation"
)
CSMS_ACTIONS = _sql_list(
    "RemoteStartTransaction RemoteStopTransaction RequestStartTransaction RequestStopTransaction ChangeConfiguration "
    "GetConfiguration SetVariables GetVariables ChangeAvailability Reset TriggerMessage UnlockConnector ClearCache "
    "SendLocalList GetLocalListVersion ReserveNow CancelReservation SetChargingProfile ClearChargingProfile "
    "GetCompositeSchedule GetChargingProfiles UpdateFirmware GetDiagnostics GetLog GetBaseReport GetReport "
    "GetTransactionStatus InstallCertificate DeleteCertificate GetInstalledCertificateIds CertificateSigned "
    "SetNetworkProfile SetMonitoringBase SetMonitoringLevel SetVariableMonitoring ClearVariableMonitoring "
    "GetMonitoringReport CostUpdated SetDisplayMessage GetDisplayMessages ClearDisplayMessage CustomerInformation "
    "PublishFirmware UnpublishFirmware ExtendedTriggerMessage SignedUpdateFirmware SetDefaultTariff GetTariffs "
    "ClearTariffs ChangeTransactionTariff"
)
# Calls that only one version has.
ACTIONS_16 = _sql_list(
    "StartTransaction StopTransaction RemoteStartTransaction RemoteStopTransaction ChangeConfiguration GetConfiguration "
    "DiagnosticsStatusNotification GetDiagnostics ExtendedTriggerMessage SignedUpdateFirmware "
    "SignedFirmwareStatusNotification"
)
ACTIONS_20 = _sql_list(
    "TransactionEvent NotifyEvent NotifyReport RequestStartTransaction RequestStopTransaction SetVariables GetVariables "
    "GetBaseReport GetReport NotifyMonitoringReport NotifyChargingLimit ReservationStatusUpdate GetTransactionStatus"
)
ACTIONS_21 = _sql_list(
    "BatterySwap NotifyDERAlarm NotifyDERStartStop NotifySettlement NotifyPeriodicEventStream OpenPeriodicEventStream "
    "ClosePeriodicEventStream SetDefaultTariff GetTariffs ClearTariffs ChangeTransactionTariff VatNumberValidation "
    "PullDynamicScheduleUpdate ReportDERControl NotifyPriorityCharging"
)

_KEYS = "|".join(OCPP_SECRET_KEYS)
# Most payloads hold none of the keys; a plain look for these pieces of them is cheaper than the masking itself. A search
# is quickest for a rare first character, and idTagInfo, which half of the answers hold, is no token.
_PIECES = ('Tag"', "Tag\\", 'Token"', "Token\\", "MAID", "maid", "ractId", "PassG", "@")
MAY_HOLD_SECRET = " or ".join(f"contains(payload, '{piece}')" for piece in _PIECES)
# A macro's argument is worked out at each of its places, so mask_emails is left out where no address can be.
MASKED_PAYLOAD = f"""
    case
        when contains(payload, '@') then mask_emails(mask_keys(payload, '{_KEYS}'))
        else mask_keys(payload, '{_KEYS}')
    end
"""

_EARLIEST, _LATEST = "timestamptz '0001-01-01 00:00:00+00'", "timestamptz '9999-12-30 00:00:00+00'"


def _moment(text: str) -> str:
    """SQL of a charger's time; null if it is none, or of no year that RFC 3339 can write."""
    moment = f"try_cast({text} as timestamptz)"
    return f"case when {moment} between {_EARLIEST} and {_LATEST} then {moment} end"


FRAME_SQL = f"""
    with protocols as (select station_id, max(protocol) as protocol from station_protocol group by station_id),
    loaded as (
        select
            record.* exclude (protocol),
            coalesce(record.protocol, protocols.protocol) as protocol,
            case
                when message_type = 3 and payload <> '{{}}' then json_extract_string(payload, [
                    '$.status', '$.interval', '$.transactionId', '$.currentTime',
                    '$.idTagInfo.status', '$.idTokenInfo.status'
                ])
            end as r,
        from record
        left join protocols on record.station_id = protocols.station_id
        where problem is null and kind = 'frame'
    )
    select
        line_number,
        frame_id,
        station_id,
        received_at,
        received_at_quality,
        connection_id,
        direction,
        protocol,
        message_type,
        message_id,
        action,
        payload,
        error_code,
        mask_emails(error_description) as error_description,
        coalesce(r[1], r[5], r[6]) as result_status,
        try_cast(r[2] as bigint) as result_interval_s,
        r[3] as result_transaction_id,
        {_moment("r[4]")} as result_current_at,
    from loaded
"""

_LINEAGE = "line_number, frame_id, station_id, received_at"


def _calls(action_condition: str, paths: str) -> str:
    """SQL of the calls of some actions with fields of their payload in the list ``f``."""
    names = ", ".join(f"'$.{path}'" for path in paths.split())
    return f"""
        select *, json_extract_string(payload, [{names}]) as f
        from frame
        where message_type = 2 and {action_condition}
    """


_STATUS_SQL = f"""
    with calls as ({
    _calls(
        "action = 'StatusNotification'",
        "status connectorStatus connectorId evseId errorCode vendorErrorCode info timestamp",
    )
}),
    events as (
        select * exclude (e), json_extract_string(e, [
            '$.actualValue', '$.component.evse.id', '$.component.evse.connectorId', '$.timestamp', '$.techCode',
            '$.techInfo', '$.component.name'
        ]) as f,
        from (
            select *, unnest(json_extract(payload, '$.eventData[*]')) as e
            from frame
            where message_type = 2 and action = 'NotifyEvent' and contains(payload, 'AvailabilityState')
        )
        where json_extract_string(e, '$.variable.name') = 'AvailabilityState'
    )
    select
        {_LINEAGE},
        protocol,
        {_moment("f[8]")} as event_at,
        try_cast(f[4] as integer) as evse_id,
        try_cast(f[3] as integer) as connector_id,
        coalesce(f[1], f[2]) as status,
        f[5] as error_code,
        nullif(f[6], '') as vendor_error_code,
        nullif(f[7], '') as info,
        'StatusNotification' as reported_by,
    from calls
    union all
    select
        {_LINEAGE},
        protocol,
        {_moment("f[4]")} as event_at,
        coalesce(try_cast(f[2] as integer), case when f[7] = 'ChargingStation' then 0 end) as evse_id,
        try_cast(f[3] as integer) as connector_id,
        f[1] as status,
        nullif(f[5], '') as error_code,
        null as vendor_error_code,
        nullif(f[6], '') as info,
        'NotifyEvent' as reported_by,
    from events
"""

_TRANSACTION_SQL = f"""
    with calls as ({
    _calls(
        "action in ('StartTransaction', 'StopTransaction', 'TransactionEvent')",
        "timestamp transactionId connectorId idTag meterStart meterStop reason reservationId eventType seqNo offline "
        "triggerReason transactionInfo.transactionId transactionInfo.chargingState transactionInfo.stoppedReason "
        "transactionInfo.remoteStartId evse.id evse.connectorId idToken.idToken",
    )
})
    select
        {_LINEAGE},
        connection_id,
        message_id,
        protocol,
        {_moment("f[1]")} as event_at,
        case action when 'StartTransaction' then 'Started' when 'StopTransaction' then 'Ended' else f[9] end as event_type,
        coalesce(f[13], case when action = 'StopTransaction' then f[2] end) as transaction_id,
        try_cast(f[17] as integer) as evse_id,
        coalesce(try_cast(f[3] as integer), try_cast(f[18] as integer)) as connector_id,
        coalesce(f[4], f[19]) as id_token_hash,
        try_cast(coalesce(f[5], f[6]) as decimal(18, 3)) as meter_wh,
        coalesce(f[7], f[15]) as reason,
        try_cast(f[10] as bigint) as seq_no,
        case when action = 'TransactionEvent' then coalesce(f[11] = 'true', false) end as is_offline,
        f[14] as charging_state,
        f[12] as trigger_reason,
        try_cast(f[16] as bigint) as remote_start_id,
        try_cast(f[8] as bigint) as reservation_id,
    from calls
"""

# 1.6 and 2.x name the same things differently; absent fields stay null.
_READINGS_SHAPE = (
    '[{"timestamp":"VARCHAR","sampledValue":[{"value":"VARCHAR","measurand":"VARCHAR","phase":"VARCHAR",'
    '"location":"VARCHAR","context":"VARCHAR","unit":"VARCHAR","unitOfMeasure":{"unit":"VARCHAR","multiplier":"INTEGER"}}]}]'
)


def _readings(key: str, condition: str) -> str:
    """SQL of the meter readings that some calls carry under ``key``."""
    shape = (
        '{"connectorId":"INTEGER","evseId":"INTEGER","transactionId":"VARCHAR",'
        '"transactionInfo":{"transactionId":"VARCHAR"},"evse":{"id":"INTEGER","connectorId":"INTEGER"},'
        f'"{key}":{_READINGS_SHAPE}}}'
    )
    return f"""
        select
            {_LINEAGE},
            action,
            coalesce(p.transactionId, p.transactionInfo.transactionId) as transaction_id,
            coalesce(p.evseId, p.evse.id) as evse_id,
            coalesce(p.connectorId, p.evse.connectorId) as connector_id,
            unnest(p.{key}) as reading,
            generate_subscripts(p.{key}, 1) as reading_number,
        from (
            select {_LINEAGE}, action, json_transform(payload, '{shape}') as p,
            from record
            where problem is null and message_type = 2 and {condition}
        )
    """


# Units as stored, and the power of ten that gets there. Chargers spell units in any case; Celcius is the schema's own
# spelling. The first few are those of almost all samples. No IN: it would be made a join over all samples.
_PLAIN_UNITS = " ".join(f"when '{unit}' then '{unit}'" for unit in ("Wh", "W", "A", "V", "Percent"))
_KILO_UNITS = " ".join(f"when '{unit}' then 3" for unit in ("kwh", "kw", "kvarh", "kvar", "kva", "kvah"))

_METER_SQL = f"""
    with readings as (
        {
    _readings(
        "meterValue",
        "(action = 'MeterValues' or (action = 'TransactionEvent' and contains(payload, 'meterValue')))",
    )
}
        union all
        {_readings("transactionData", "action = 'StopTransaction' and contains(payload, 'transactionData')")}
    ),
    samples as (
        select
            * exclude (reading),
            {_moment("reading.timestamp")} as sampled_at,
            unnest(reading.sampledValue) as s,
            generate_subscripts(reading.sampledValue, 1) as number_in_reading,
        from readings
    ),
    fields as (
        select
            * exclude (s, reading_number, number_in_reading),
            -- no reading has 1,000 samples: 2.1 knows some 60 measurands of up to 10 phases, used a few at a time
            (reading_number - 1) * 1000 + number_in_reading as sample_number,
            coalesce(s.measurand, 'Energy.Active.Import.Register') as measurand,
            s.phase as phase,
            coalesce(s.location, 'Outlet') as location,
            coalesce(s.context, 'Sample.Periodic') as context,
            nullif(coalesce(s.unitOfMeasure.unit, s.unit), '') as sent_unit,
            s.unitOfMeasure.multiplier as multiplier,
            s.value as raw_value,
        from samples
    ),
    units as (
        select
            *,
            case
                when sent_unit is not null then sent_unit
                when starts_with(measurand, 'Energy.Reactive') then 'varh'
                when starts_with(measurand, 'Energy.') then 'Wh'
                when starts_with(measurand, 'Power.Reactive') then 'var'
                when measurand = 'Power.Factor' or measurand = 'Frequency' then null
                when starts_with(measurand, 'Power.') then 'W'
                when starts_with(measurand, 'Current.') then 'A'
                when measurand = 'Voltage' then 'V'
                when measurand = 'SoC' then 'Percent'
            end as unit_text,
        from fields
    ),
    stored as (
        select
            *,
            case unit_text
                {_PLAIN_UNITS}
                else
                    case lower(unit_text)
                        when 'kwh' then 'Wh' when 'wh' then 'Wh' when 'kw' then 'W' when 'w' then 'W'
                        when 'kvarh' then 'varh' when 'kvar' then 'var' when 'kva' then 'VA' when 'kvah' then 'VAh'
                        when 'celcius' then 'Celsius' when 'percent' then 'Percent' when 'a' then 'A' when 'v' then 'V'
                        else unit_text
                    end
            end as unit,
        from units
    ),
    exponents as (
        select
            *,
            coalesce(cast(multiplier as bigint), 0)
            + case when unit <> unit_text then case lower(unit_text) {_KILO_UNITS} else 0 end else 0 end as exponent,
        from stored
    )
    select
        {_LINEAGE},
        sample_number,
        action,
        transaction_id,
        evse_id,
        connector_id,
        sampled_at,
        measurand,
        phase,
        location,
        context,
        unit,
        -- the exponent does the conversion while the text is read: exact, and far quicker than arithmetic on wide decimals
        case
            when exponent = 0 then try_cast(raw_value as decimal(18, 4))
            else try_cast(trim(raw_value) || 'e' || exponent as decimal(18, 4))
        end as value,
        raw_value,
    from exponents
"""

_BOOT_SQL = f"""
    with calls as ({
    _calls(
        "action = 'BootNotification'",
        "chargePointVendor chargePointModel chargePointSerialNumber chargeBoxSerialNumber firmwareVersion reason "
        "chargingStation.vendorName chargingStation.model chargingStation.serialNumber chargingStation.firmwareVersion",
    )
})
    select
        {_LINEAGE},
        connection_id,
        message_id,
        protocol,
        coalesce(f[1], f[7]) as vendor,
        coalesce(f[2], f[8]) as model,
        coalesce(f[3], f[4], f[9]) as serial_number,
        coalesce(f[5], f[10]) as firmware_version,
        f[6] as reason,
    from calls
"""

_CONNECTION_SQL = f"""
    select
        {_LINEAGE},
        received_at_quality,
        connection_id,
        kind as event,
        close_code,
        protocol,
    from record
    where problem is null and kind in ('connect', 'disconnect')
"""

TABLE_SQL = {
    "frame": "select * from frame",
    "connection_event": _CONNECTION_SQL,
    "status_event": _STATUS_SQL,
    "transaction_event": _TRANSACTION_SQL,
    "meter_sample": _METER_SQL,
    "boot": _BOOT_SQL,
}
