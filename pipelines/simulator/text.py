"""Text in columns: timestamps, numbers and joined pieces, built a column at a time.

Frames stand inside a JSON string of the log record, so their quotation marks are escaped where the text is written
(:func:`escaped`), not where it is joined.
"""

from datetime import date, timedelta

import numpy as np
import polars as pl

from pipelines.simulator.network import DAY_S

Piece = str | pl.Series

_CLOCK = pl.Series([f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}" for s in range(DAY_S)])
_THREE = pl.Series([f"{n:03}" for n in range(1000)])
_FIRST_DAY = (date(2015, 1, 1) - date(1970, 1, 1)).days
_DATES = pl.Series([(date(2015, 1, 1) + timedelta(days=n)).isoformat() + "T" for n in range(365 * 60)])


def escaped(text: str) -> str:
    """Return text as it stands inside a JSON string."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def joined(*pieces: Piece, rows: int | None = None) -> pl.Series:
    """Join constants and columns of text or whole numbers, row by row.

    Args:
        pieces: Constants and columns.
        rows: Number of rows, needed only where no piece is a column.
    """
    if rows is not None and all(isinstance(piece, str) for piece in pieces):
        return pl.repeat("".join(str(piece) for piece in pieces), rows, eager=True)
    expressions = [pl.lit(piece) for piece in pieces]
    return pl.select(pl.concat_str(expressions)).to_series()


def chosen(which: np.ndarray, yes: tuple[Piece, ...], no: tuple[Piece, ...]) -> pl.Series:
    """Join one list of pieces where a condition holds and another elsewhere."""
    condition = pl.lit(pl.Series(which))
    parts = [pl.concat_str([pl.lit(piece) for piece in pieces]) for pieces in (yes, no)]
    return pl.select(pl.when(condition).then(parts[0]).otherwise(parts[1])).to_series()


def looked_up(table: pl.Series, index: np.ndarray) -> pl.Series:
    """Return the texts of a table that an array of positions names."""
    return table.gather(pl.Series(index.astype(np.int64), dtype=pl.Int64))


def stamp(at: np.ndarray, end: str = "Z") -> pl.Series:
    """Return whole UTC seconds as ``2025-10-01T12:34:56`` and an ending.

    Args:
        at: Seconds since 1970, 2015 to 2074.
        end: What follows the seconds.
    """
    days = at // DAY_S
    return joined(looked_up(_DATES, days - _FIRST_DAY), looked_up(_CLOCK, at - days * DAY_S), end)


def stamp_ms(at: np.ndarray, milliseconds: np.ndarray, end: str) -> pl.Series:
    """Return UTC seconds and milliseconds as ``2025-10-01T12:34:56.789`` and an ending."""
    days = at // DAY_S
    return joined(
        looked_up(_DATES, days - _FIRST_DAY),
        looked_up(_CLOCK, at - days * DAY_S),
        ".",
        looked_up(_THREE, milliseconds),
        end,
    )


def number(values: np.ndarray) -> pl.Series:
    """Return whole numbers as text."""
    return pl.Series(values.astype(np.int64)).cast(pl.String)


def thousandths(values: np.ndarray) -> pl.Series:
    """Return thousandths (such as Wh for kWh) as a decimal text with three decimals; values are not negative."""
    whole = values // 1000
    return joined(number(whole), ".", looked_up(_THREE, values - whole * 1000))


def decimal(values: np.ndarray, places: int) -> pl.Series:
    """Return whole numbers of ``10**-places`` as a decimal text.

    Args:
        values: Whole numbers, of any sign.
        places: Digits after the point.
    """
    size = np.abs(values)
    unit = 10**places
    sign = pl.Series(np.where(values < 0, "-", ""))
    return joined(sign, number(size // unit), ".", number(size % unit).str.zfill(places))
