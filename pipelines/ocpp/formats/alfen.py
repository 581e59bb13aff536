r"""Alfen's own log, whose frames are wrapped at some 80 characters into several lines that repeat the prefix.

::

    2023-12-31T14:53:18.082Z:COM:ocpp_rpc.c:715:-> [2,"1","StatusNotification",{"connectorId":1,"errorCode":"NoError","status"
    2023-12-31T14:53:18.082Z:COM:ocpp_rpc.c:715::"Charging"}]

``->`` goes to the central system, ``<-`` comes from it; a continuation has no arrow but the time and place of its
beginning. The charger's web page lists lines newest first, in blocks, so a continuation may stand before its beginning.
Pieces are put together in both orders, and the one that gives JSON is taken. Times are UTC; one charger per log, unnamed.
"""

from pipelines.ocpp.formats.base import LogFormat

FORMAT = LogFormat(
    name="alfen",
    line_pattern=r"^\d{4}-\d{2}-\d{2}T[0-9:.]+Z:[A-Z]+:\w+\.c:\d+:",
    records_sql=r"""
        with pieces as (
            select
                line_number,
                rtrim(line, e' \t\r\n') as text,
                regexp_extract(
                    rtrim(line, e' \t\r\n'),
                    '^(\d{4}-\d{2}-\d{2}T[0-9:.]+Z):([A-Z]+):(\w+\.c:\d+):(?:(->|<-) )?(.*)$',
                    ['stamp', 'tag', 'place', 'arrow', 'piece'], 's'
                ) as part,
            from chunk
        ),
        communication as (
            select
                *,
                part.arrow <> '' as is_begin,
                -- the frame a piece belongs to, counted from either end
                sum(case when part.arrow <> '' then 1 else 0 end) over (
                    partition by part.stamp, part.place order by line_number
                ) as number_down,
                sum(case when part.arrow <> '' then 1 else 0 end) over (
                    partition by part.stamp, part.place order by line_number desc
                ) as number_up,
                count(case when part.arrow <> '' then 1 end) over (partition by part.stamp, part.place) as begins,
                first_value(part.arrow <> '') over (partition by part.stamp, part.place order by line_number) as begins_first,
            from pieces
            where part.tag = 'COM' and starts_with(part.place, 'ocpp')
        ),
        frames as (
            select
                min(line_number) as line_number,
                part.stamp as stamp,
                max(part.arrow) as arrow,
                string_agg(part.piece, '' order by is_begin desc, line_number) as downward,
                string_agg(part.piece, '' order by is_begin desc, line_number desc) as upward,
                string_agg(text, e'\n' order by line_number) as line,
            from communication
            group by
                part.stamp,
                part.place,
                case when begins = 1 then 1 when begins_first then number_down else -number_up end
        )
        select
            line_number,
            case when arrow <> '' and starts_with(ltrim(downward), '[') or arrow = '' then 'frame' else 'noise' end as kind,
            try_cast(stamp as timestamptz) as received_at,
            null::timestamp as received_local,
            null::varchar as station_id,
            null::varchar as connection_id,
            case arrow when '->' then 'from_station' when '<-' then 'to_station' end as side,
            null::varchar as protocol,
            case when json_valid(downward) or not json_valid(upward) then downward else upward end as frame,
            null::integer as close_code,
            case when arrow = '' then 'cut_frame' when try_cast(stamp as timestamptz) is null then 'bad_time' end as problem,
        from frames
        union all
        select
            line_number, case when text = '' or part.stamp <> '' then 'noise' end, null, null, null, null, null, null, null,
            null, null
        from pieces
        where not (part.tag = 'COM' and starts_with(part.place, 'ocpp'))
    """,
)
