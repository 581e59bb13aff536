"""A log with the mix of a real network, written by DuckDB: MeterValues in the majority, an answer to every call."""

from pathlib import Path

import duckdb

# Per 20 frames: 10 answers, 6 MeterValues, 2 StatusNotification, 1 Heartbeat, 1 transaction message.
_SQL = r"""
    copy (
        select json_object(
            'charger_id', 'CP-' || lpad((i // 2 % 500)::varchar, 4, '0'),
            'connection_id', 'c' || (i // 2 % 500),
            'tenant_id', null,
            'tenant_name', null,
            'captured_at', strftime(timestamp '2026-01-01' + to_milliseconds(i * 37), '%Y-%m-%dT%H:%M:%S.%gZ'),
            'event_type', 2,
            'direction', case when i % 2 = 0 then 'FROM_CP' else 'TO_CP' end,
            'raw_frame', case
                when i % 40 = 19 then '[3,"m' || (i - 1) || '",{"transactionId":' || i || ',"idTagInfo":{"status":"Accepted"}}]'
                when i % 2 = 1 then '[3,"m' || (i - 1) || '",{}]'
                when i % 20 < 12 then
                    '[2,"m' || i || '","MeterValues",{"connectorId":1,"transactionId":' || (i // 500)
                    || ',"meterValue":[{"timestamp":"2026-01-01T00:00:00Z","sampledValue":['
                    || '{"value":"' || i || '","measurand":"Energy.Active.Import.Register","unit":"Wh","context":"Sample.Periodic","location":"Outlet"},'
                    || '{"value":"11000","measurand":"Power.Active.Import","unit":"W"},'
                    || '{"value":"16.1","measurand":"Current.Import","phase":"L1","unit":"A"},'
                    || '{"value":"16.1","measurand":"Current.Import","phase":"L2","unit":"A"},'
                    || '{"value":"16.1","measurand":"Current.Import","phase":"L3","unit":"A"}]}]}]'
                when i % 20 < 16 then
                    '[2,"m' || i || '","StatusNotification",{"connectorId":1,"status":"Charging","errorCode":"NoError",'
                    || '"timestamp":"2026-01-01T00:00:00Z"}]'
                when i % 20 < 18 then '[2,"m' || i || '","Heartbeat",{}]'
                when i % 40 < 20 then
                    '[2,"m' || i || '","StartTransaction",{"connectorId":1,"idTag":"T' || (i % 1000)
                    || '","meterStart":' || i || ',"timestamp":"2026-01-01T00:00:00Z"}]'
                else
                    '[2,"m' || i || '","StopTransaction",{"transactionId":' || i || ',"meterStop":' || i
                    || ',"timestamp":"2026-01-01T00:00:00Z","reason":"Local"}]'
            end,
            'raw_frame_encoding', 'utf8'
        ) as line
        from range({frames}) as t (i)
    ) to '{path}' (format csv, header false, quote '', escape '', delimiter '\x01')
"""


def write_frames(path: Path, frames: int) -> None:
    """Write a native log.

    Args:
        path: File to write.
        frames: Frames in it, one a line.
    """
    with duckdb.connect() as con:
        con.execute(_SQL.replace("{frames}", str(frames)).replace("{path}", str(path)).replace(r"'\x01'", r"e'\x01'"))
