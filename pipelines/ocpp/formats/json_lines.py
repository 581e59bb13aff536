"""Logs of one JSON object per line.

``native`` is the record that chargehouse recommends and the simulator writes; it is the published schema of evpanda
0.3.0: charger_id, connection_id, captured_at, event_type (0 disconnect, 1 connect, 2 message), direction, raw_frame.

``recorder`` is the record of a recording proxy: ts, station, conn, protocol, dir, frame, or event and code.
"""

from pipelines.ocpp.formats.base import LogFormat

NATIVE = LogFormat(
    name="native",
    is_text=False,
    line_pattern=r'^\s*\{.*"(?:captured_at|raw_frame)"\s*:',
    records_sql=r"""
        with fields as (
            select
                line_number,
                line,
                case
                    -- one pass over the JSON: try() costs nothing where it holds, but much where it fails, as on a cut line
                    when starts_with(line, '{') and (ends_with(line, e'}\n') or ends_with(line, e'}\r\n'))
                        then try(json_extract_string(line, [
                            '$.charger_id', '$.connection_id', '$.captured_at', '$.event_type', '$.direction',
                            '$.raw_frame'
                        ]))
                    when json_valid(line) then json_extract_string(line, [
                        '$.charger_id', '$.connection_id', '$.captured_at', '$.event_type', '$.direction', '$.raw_frame'
                    ])
                end as f,
            from chunk
        ),
        typed as (
            select
                line_number,
                line,
                f[1] as station_id,
                f[2] as connection_id,
                try_cast(f[3] as timestamptz) as received_at,
                f[4] as event_type,
                f[5] as direction,
                f[6] as frame,
                f is null as is_broken,
            from fields
        )
        select
            line_number,
            case
                when event_type = '2' then 'frame'
                when event_type = '1' then 'connect'
                when event_type = '0' then 'disconnect'
                when trim(line, e' \t\r\n') = '' then 'noise'
            end as kind,
            received_at,
            null::timestamp as received_local,
            station_id,
            connection_id,
            case direction when 'FROM_CP' then 'from_station' when 'TO_CP' then 'to_station' end as side,
            null::varchar as protocol,
            case when event_type = '2' then frame end as frame,
            null::integer as close_code,
            case
                when is_broken then 'bad_json'
                when event_type is null or event_type not in ('0', '1', '2') then 'bad_event_type'
                when received_at is null then 'bad_captured_at'
                when station_id is null then 'missing_charger_id'
                when event_type = '2' and frame is null then 'missing_raw_frame'
                when direction is not null and direction not in ('FROM_CP', 'TO_CP') then 'bad_direction'
            end as problem,
        from typed
    """,
)

RECORDER = LogFormat(
    name="recorder",
    is_text=False,
    line_pattern=r'^\s*\{(?=.*"station"\s*:).*"(?:frame|event)"\s*:',
    records_sql=r"""
        with fields as (
            select
                line_number,
                line,
                case
                    when starts_with(line, '{') and (ends_with(line, e'}\n') or ends_with(line, e'}\r\n'))
                        then try(json_extract_string(line, [
                            '$.ts', '$.station', '$.conn', '$.protocol', '$.dir', '$.frame', '$.event', '$.code'
                        ]))
                    when json_valid(line) then json_extract_string(line, [
                        '$.ts', '$.station', '$.conn', '$.protocol', '$.dir', '$.frame', '$.event', '$.code'
                    ])
                end as f,
            from chunk
        ),
        typed as (
            select
                line_number,
                line,
                try_cast(f[1] as timestamptz) as received_at,
                f[2] as station_id,
                f[3] as connection_id,
                f[4] as protocol,
                f[5] as direction,
                f[6] as frame,
                f[7] as event,
                try_cast(f[8] as integer) as close_code,
                f is null as is_broken,
            from fields
        )
        select
            line_number,
            case
                when event in ('connect', 'disconnect') then event
                when frame is not null then 'frame'
                when trim(line, e' \t\r\n') = '' then 'noise'
            end as kind,
            received_at,
            null::timestamp as received_local,
            station_id,
            connection_id,
            case direction when 'in' then 'from_station' when 'out' then 'to_station' end as side,
            protocol,
            frame,
            close_code,
            case
                when is_broken then 'bad_json'
                when frame is null and coalesce(event, '') not in ('connect', 'disconnect') then 'missing_frame'
                when received_at is null then 'bad_ts'
                when station_id is null then 'missing_station'
                when frame is not null and direction is not null and direction not in ('in', 'out')
                    then 'bad_dir'
            end as problem,
        from typed
    """,
)
