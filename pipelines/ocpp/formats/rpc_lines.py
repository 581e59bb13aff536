"""One RPC array per line, bare or with a time in front: ISO 8601, or Unix seconds or milliseconds.

::

    [2,"1","Heartbeat",{}]
    2026-02-24T07:15:04+05:30 [2,"1","Heartbeat",{}]
    1700000000.5 [3,"1",{}]

Names neither the station nor the direction; lines that begin with ``#`` are comments.
"""

from pipelines.ocpp.formats.base import LogFormat

FORMAT = LogFormat(
    name="rpc_lines",
    line_pattern=(
        r"^\s*(?:\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}[0-9.,:+\-Z]*\s+|\d{10,13}(?:\.\d+)?\s+)?"
        r"\[\s*[2-6]\s*,\s*[\"0-9-]"
    ),
    records_sql=r"""
        with parts as (
            select
                line_number,
                line,
                trim(line, e' \t\r\n') as text,
                regexp_extract(line, '^\s*([^\[]*?)\s*(\[.*)$', ['stamp', 'frame'], 's') as part,
            from chunk
        ),
        stamps as (
            select
                line_number,
                line,
                text,
                rtrim(part.frame, e' \t\r\n') as frame,
                part.stamp as stamp,
                regexp_extract(
                    part.stamp,
                    '^(\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2})(?:[.,](\d{1,9}))?\s*(Z|[+-]\d{2}:?\d{2})?$',
                    ['moment', 'fraction', 'zone']
                ) as iso,
                case
                    when regexp_full_match(part.stamp, '\d{10}(?:\.\d+)?')
                        then try_cast(try_cast(part.stamp as decimal(38, 6)) * 1000000 as bigint)
                    when regexp_full_match(part.stamp, '\d{13}(?:\.\d+)?')
                        then try_cast(try_cast(part.stamp as decimal(38, 3)) * 1000 as bigint)
                end as unix_us,
            from parts
        )
        select
            line_number,
            case
                when text = '' or starts_with(text, '#') then 'noise'
                when frame <> '' then 'frame'
            end as kind,
            case
                when unix_us is not null then make_timestamptz(unix_us)
                when iso.moment <> '' and iso.zone <> ''
                    then try_cast(
                        iso.moment || case when iso.fraction <> '' then '.' || left(iso.fraction, 6) else '' end
                        || iso.zone as timestamptz
                    )
            end as received_at,
            case
                when iso.moment <> '' and iso.zone = ''
                    then try_cast(
                        iso.moment || case when iso.fraction <> '' then '.' || left(iso.fraction, 6) else '' end
                        as timestamp
                    )
            end as received_local,
            null::varchar as station_id,
            null::varchar as connection_id,
            null::varchar as side,
            null::varchar as protocol,
            frame,
            null::integer as close_code,
            case when stamp <> '' and iso.moment = '' and unix_us is null then 'bad_time' end as problem,
        from stamps
    """,
)
