"""The table of Thoughtworks' data-derp course: one message per row, its body with the library's snake_case names.

``message_id,message_type,charge_point_id,action,write_timestamp,body``; ``action`` is filled on answers too. Names are
turned into OCPP's (``connector_id`` -> ``connectorId``).
"""

from pipelines.ocpp.formats.base import TableFormat, times_ctes
from pipelines.ocpp.typed import CSMS_ACTIONS

FORMAT = TableFormat(
    name="data_derp",
    columns={
        "station": ("chargepointid",),
        "message_id": ("messageid",),
        "message_type": ("messagetype",),
        "action": ("action",),
        "logged_at": ("writetimestamp",),
        "body": ("body",),
    },
    required=("station", "message_id", "message_type", "action", "logged_at", "body"),
    records_sql=rf"""
    with told as (select *, logged_at as stamp from cells),
    {times_ctes("told", "timed")},
    renamed as (
        select
            *,
            list_reduce(
                list_prepend(body, list_distinct(regexp_extract_all(body, '"[a-z0-9]+(?:_[a-z0-9]+)+"\s*:'))),
                lambda text, name: replace(
                    text,
                    name,
                    list_aggregate(
                        list_transform(
                            string_split(name, '_'),
                            lambda word, i: case when i = 1 then word else upper(left(word, 1)) || substring(word, 2) end
                        ),
                        'string_agg', ''
                    )
                )
            ) as payload,
        from timed
    )
    select
        line_number,
        'frame' as kind,
        received_at,
        received_local,
        station as station_id,
        null::varchar as connection_id,
        case
            when (action in ({CSMS_ACTIONS})) = (message_type in ('2', '6')) then 'to_station'
            else 'from_station'
        end as side,
        null::varchar as protocol,
        case
            when message_type in ('2', '6')
                then '[' || message_type || ',' || to_json(message_id) || ',' || to_json(action) || ',' || payload || ']'
            when message_type = '3' then '[3,' || to_json(message_id) || ',' || payload || ']'
            else '[' || message_type || ',' || to_json(message_id) || ',"","",' || payload || ']'
        end as frame,
        null::integer as close_code,
        coalesce(problem, case when body is null then 'missing_frame' when is_bad_time then 'bad_time' end) as problem,
    from renamed
    """,
)
