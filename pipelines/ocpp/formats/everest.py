"""EVerest libocpp's message log: a header line, then the frame as pretty-printed JSON, then a blank line.

::

    2023-12-07T04:03:32.455Z: ChargePoint>CentralSystem BootNotification
    [
      2,
      "7e34",
      "BootNotification",
      {...}
    ]

One charger per log, which the log does not name. ``SYS>`` lines tell of the connection. Times are UTC.

The same log as HTML has one table row per record; of the frame's text only ``<`` and ``>`` are escaped::

    <tr class="ChargePoint"> <td>2023-...Z</td> <td>ChargePoint&gt;CentralSystem</td> <td><b>Heartbeat</b></td>\
<td><b></b></td> <td><pre lang="json">[...]</pre></td> </tr>
"""

from pipelines.ocpp.formats.base import LogFormat

FORMAT = LogFormat(
    name="everest",
    line_pattern=r"^\d{4}-\d{2}-\d{2}T[0-9:.]+Z: (?:\w+>\w+|SYS>) ",
    separator=b"\n\n",
    records_sql=r"""
        with headers as (
            select
                line_number,
                line,
                regexp_extract(
                    line,
                    '^(\d{4}-\d{2}-\d{2}T[0-9:.]+Z): (\w+)>(\w*)\s*(.*)$',
                    ['stamp', 'origin', 'target', 'kind'],
                    's'
                ) as part,
            from chunk
        ),
        numbered as (
            select
                line_number,
                line,
                part,
                sum(case when part.stamp <> '' then 1 else 0 end) over (order by line_number) as record,
            from headers
        ),
        -- text between two headers belongs to the first; text before any header is a record of its own
        grouped as (
            select
                min(line_number) as line_number,
                string_agg(line, '' order by line_number) as line,
                max(part.stamp) as stamp,
                max(part.origin) as origin,
                max(part.kind) as kind,
                trim(
                    coalesce(string_agg(case when part.stamp = '' then line end, '' order by line_number), ''),
                    e' \t\r\n'
                ) as frame,
                record,
            from numbered
            group by record
        )
        select
            line_number,
            case
                when trim(line, e' \t\r\n') = '' then 'noise'
                when origin = 'SYS' and frame = '' then
                    case
                        when starts_with(trim(kind), 'Connected') then 'connect'
                        when starts_with(trim(kind), 'Disconnected') then 'disconnect'
                        else 'noise'
                    end
                when stamp <> '' and frame <> '' then 'frame'
            end as kind,
            try_cast(stamp as timestamptz) as received_at,
            null::timestamp as received_local,
            null::varchar as station_id,
            null::varchar as connection_id,
            case
                when origin in ('ChargePoint', 'ChargingStation') then 'from_station'
                when origin in ('CentralSystem', 'CSMS') then 'to_station'
            end as side,
            null::varchar as protocol,
            frame,
            null::integer as close_code,
            case when stamp <> '' and try_cast(stamp as timestamptz) is null then 'bad_time' end as problem,
        from grouped
    """,
)

HTML = LogFormat(
    name="everest_html",
    line_pattern=r'^<tr class="\w+"> <td>\d{4}-',
    separator=b"</tr>\n",
    records_sql=r"""
        with numbered as (
            select
                line_number,
                line,
                sum(case when regexp_matches(line, '^<tr class="') then 1 else 0 end) over (order by line_number) as record,
            from chunk
        ),
        grouped as (
            select
                min(line_number) as line_number,
                record,
                string_agg(line, '' order by line_number) as line,
            from numbered
            group by record
        ),
        parts as (
            select
                line_number,
                record,
                regexp_extract(
                    line,
                    '<tr class="(\w+)"> <td>([^<]*)</td> <td>[^<]*</td> <td><b>([^<]*)</b></td>\s*<td><b>([^<]*)</b></td> '
                    || '<td><pre lang="json">(.*?)</pre></td> </tr>',
                    ['origin', 'stamp', 'left_text', 'right_text', 'frame'],
                    's'
                ) as part,
            from grouped
        ),
        fields as (
            select
                line_number,
                record,
                part,
                trim(part.left_text || part.right_text) as told,
                trim(replace(replace(part.frame, '&lt;', '<'), '&gt;', '>'), e' \t\r\n') as frame,
            from parts
        )
        select
            line_number,
            case
                when record = 0 then 'noise'  -- the head of the page
                when part.stamp = '' then null
                when part.origin in ('ChargePoint', 'ChargingStation', 'CentralSystem', 'CSMS') then 'frame'
                when starts_with(told, 'Connected') then 'connect'
                when starts_with(told, 'Disconnected') then 'disconnect'
                else 'noise'
            end as kind,
            try_cast(part.stamp as timestamptz) as received_at,
            null::timestamp as received_local,
            null::varchar as station_id,
            null::varchar as connection_id,
            case
                when part.origin in ('ChargePoint', 'ChargingStation') then 'from_station'
                when part.origin in ('CentralSystem', 'CSMS') then 'to_station'
            end as side,
            null::varchar as protocol,
            frame,
            null::integer as close_code,
            case when part.stamp <> '' and try_cast(part.stamp as timestamptz) is null then 'bad_time' end as problem,
        from fields
    """,
)
