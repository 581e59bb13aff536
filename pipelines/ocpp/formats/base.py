"""What a log format has to say about itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogFormat:
    """A log format: how to tell it, and the SQL that turns its lines into raw records.

    ``records_sql`` reads the table ``chunk(line_number BIGINT, line VARCHAR)`` and gives one row per record:

    ======================  ===============================================================================
    line_number             line the record begins on
    kind                    ``frame``, ``connect``, ``disconnect``, ``noise`` (a line of the log that carries
                            no record: not counted), or null: nothing this format knows
    received_at             TIMESTAMPTZ where the line names an instant, else null
    received_local          TIMESTAMP where the line names a local time without offset, else null
    station_id              null where the log does not name it
    connection_id           null where the log does not name it
    side                    ``from_station``, ``to_station``; ``in`` or ``out`` as seen by the process that
                            logged; null where the log does not say
    protocol                ``ocpp1.6``, ``ocpp2.0.1``, ``ocpp2.1`` or null
    frame                   text of the RPC array (kind ``frame``)
    close_code              INTEGER (kind ``disconnect``)
    problem                 short code of what is wrong with the line's own envelope, else null
    ======================  ===============================================================================
    """

    name: str
    line_pattern: str  # regular expression that a line of this format matches
    records_sql: str
    separator: bytes = b"\n"  # where a file may be cut into chunks
