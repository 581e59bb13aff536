"""A log with the mix of a real network, written by DuckDB: MeterValues of five samples are the majority of its frames.

A frame is some 550 bytes, so five million are 2.7 GB.
"""

from pathlib import Path

import duckdb

# Of 100 frames: 52 MeterValues, whose empty answers such logs leave out, and 24 other calls with 24 answers
# (10 StatusNotification, 10 Heartbeat, 1 Authorize, 1 StartTransaction, 1 StopTransaction, 1 command).
_SQL = r"""
copy (
    with numbered as (
        select
            i,
            i % 100 as place,
            -- a call and its answer share the number of the call
            case when i % 100 >= 52 then i - i % 2 else i end as call,
        from range({frames}) as t (i)
    ),
    calls as (
        select
            *,
            -- the frames of one transaction are of one station
            (case when place between 92 and 97 then call - call % 100 else call end * 7919 // 52) % 2000 as station,
            -- half of the stations send UUIDs, the others count
            case when (call * 7919 // 52) % 2 = 0 then call::varchar else substr(md5(call::varchar), 1, 8) || '-' || substr(md5(call::varchar), 9, 4) || '-4'
            || substr(md5(call::varchar), 14, 3) || '-a' || substr(md5(call::varchar), 18, 3) || '-'
            || substr(md5(call::varchar), 21, 12) end as message_id,
            timestamp '2026-01-01' + to_milliseconds(i * 37) as logged_at,
            strftime(timestamp '2026-01-01' + to_milliseconds(call * 37 - 400), '%Y-%m-%dT%H:%M:%SZ') as told_at,
            place >= 52 and i % 2 = 1 as is_answer,
        from numbered
    )
    select json_object(
        'charger_id', 'CP-' || lpad(station::varchar, 4, '0'),
        'connection_id', 'c-' || station || '-' || (call // 500000),
        'tenant_id', null,
        'tenant_name', null,
        'captured_at', strftime(logged_at, '%Y-%m-%dT%H:%M:%S.%gZ'),
        'event_type', 2,
        'direction', case when is_answer = (place >= 98) then 'FROM_CP' else 'TO_CP' end,
        'raw_frame', case
            when is_answer and place = 99 and call // 100 % 3 = 0
                then '[4,"' || message_id || '","NotSupported","The action is not known to this station",{}]'
            when is_answer then '[3,"' || message_id || '",' || case
                when place < 72 then '{}'
                when place < 92 then '{"currentTime":"' || strftime(logged_at, '%Y-%m-%dT%H:%M:%S.%gZ') || '"}'
                when place between 94 and 95 then '{"transactionId":' || (call // 100) || ',"idTagInfo":{"status":"Accepted"}}'
                when place < 98 then '{"idTagInfo":{"status":"Accepted"}}'
                else '{"status":"Accepted"}'
            end || ']'
            else '[2,"' || message_id || '",' || case
                when place < 52 then
                    '"MeterValues",{"connectorId":' || (call % 2 + 1) || ',"transactionId":' || (call // 5200)
                    || ',"meterValue":[{"timestamp":"' || told_at || '","sampledValue":['
                    || '{"value":"' || (1000000 + call // 7) || '","context":"Sample.Periodic","measurand":"Energy.Active.Import.Register","location":"Outlet","unit":"Wh"},'
                    || '{"value":"' || (11000 - call % 977) || '.0","measurand":"Power.Active.Import","unit":"W"},'
                    || '{"value":"' || (15 + call % 10 / 10) || '","measurand":"Current.Import","phase":"L1","unit":"A"},'
                    || '{"value":"' || (228 + call % 71 / 10) || '","measurand":"Voltage","phase":"L1-N","unit":"V"},'
                    || '{"value":"' || (call % 100) || '","measurand":"SoC","location":"EV","unit":"Percent"}]}]}'
                when place < 72 then
                    '"StatusNotification",{"connectorId":' || (call % 2 + 1) || ',"errorCode":"NoError","status":"'
                    || (['Available', 'Preparing', 'Charging', 'SuspendedEV', 'Finishing'])[call // 100 % 5 + 1]
                    || '","timestamp":"' || told_at || '"}'
                when place < 92 then '"Heartbeat",{}'
                when place < 94 then '"Authorize",{"idTag":"04A2B3C4D5' || (call // 100 % 5000) || '"}'
                when place < 96 then
                    '"StartTransaction",{"connectorId":1,"idTag":"04A2B3C4D5' || (call // 100 % 5000) || '","meterStart":'
                    || (1000000 + call // 7) || ',"timestamp":"' || told_at || '"}'
                when place < 98 then
                    '"StopTransaction",{"transactionId":' || (call // 100) || ',"idTag":"04A2B3C4D5' || (call // 100 % 5000)
                    || '","meterStop":' || (1000000 + call // 7) || ',"timestamp":"' || told_at || '","reason":"EVDisconnected"}'
                else '"RemoteStartTransaction",{"connectorId":1,"idTag":"04A2B3C4D5' || (call // 100 % 5000) || '"}'
            end || ']'
        end,
        'raw_frame_encoding', 'utf8'
    ) as line
    from calls
) to '{path}' (format csv, header false, quote '', escape '', delimiter e'\x01')
"""

_RECORDER_SQL = r"""
    copy (
        select
            '{"ts":"' || captured_at || '","station":"' || charger_id || '","conn":"' || connection_id
            || '","protocol":"ocpp1.6","dir":"' || case direction when 'FROM_CP' then 'in' else 'out' end
            || '","frame":' || raw_frame || '}' as line
        from read_json('{source}', columns = {
            charger_id: 'VARCHAR', connection_id: 'VARCHAR', captured_at: 'VARCHAR', direction: 'VARCHAR', raw_frame: 'VARCHAR'
        }, format = 'newline_delimited')
    ) to '{path}' (format csv, header false, quote '', escape '', delimiter e'\x01')
"""
_TIMED_SQL = r"""
    copy (
        select captured_at || ' ' || raw_frame as line
        from read_json('{source}', columns = {captured_at: 'VARCHAR', raw_frame: 'VARCHAR'}, format = 'newline_delimited')
        limit {frames}
    ) to '{path}' (format csv, header false, quote '', escape '', delimiter e'\x01')
"""


def _run(sql: str, **values: object) -> None:
    for name, value in values.items():
        sql = sql.replace("{" + name + "}", str(value))
    with duckdb.connect() as con:
        con.execute(sql)


def write_frames(path: Path, frames: int) -> None:
    """Write a native log: the frame is a JSON text inside of a JSON record.

    Args:
        path: File to write.
        frames: Frames in it, one a line.
    """
    _run(_SQL, frames=frames, path=path)


def write_recorded(path: Path, source: Path) -> None:
    """Write the frames of a native log as a recorder's, which holds the frame itself and not its text.

    Args:
        path: File to write.
        source: The native log.
    """
    _run(_RECORDER_SQL, source=source, path=path)


def write_timed(path: Path, source: Path, frames: int) -> None:
    """Write the first frames of a native log with nothing but a time in front, which other parsers read too.

    Args:
        path: File to write.
        source: The native log.
        frames: How many.
    """
    _run(_TIMED_SQL, source=source, path=path, frames=frames)
