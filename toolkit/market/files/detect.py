"""Name the format of a file by its header and hand it to its reader."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.recorded import read_recorded

__all__ = ["read_file", "table_of"]


def table_of(source: reading.Source) -> pl.DataFrame:
    """The columns of a Parquet or csv file: typed from Parquet, text from csv."""
    if source.body[:4] == b"PAR1":
        try:
            return pl.read_parquet(io.BytesIO(source.body), hive_partitioning=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            text = " ".join(str(error).split())[:120]
            raise BadData(f"{source.path} is a damaged Parquet file ({text}); copy it again") from None
    return reading.csv_frame(source.body, source.name)


def read_file(path: str | Path) -> reading.Imported:
    """Read an official or recorded file, whatever its format."""
    source = reading.fetch(path)
    frame = table_of(source)
    if "Fetch_Time" in frame.columns:
        return read_recorded(frame, source)
    raise BadData(f"{path} has no known header; columns are {', '.join(frame.columns[:6])}")
