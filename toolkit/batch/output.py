"""A folder of results that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import polars as pl

from toolkit.errors import BadData

__all__ = ["FILES", "fresh_folder", "write_csv", "write_parquet"]

FILES: Final = ("report.html", "orders.csv", "fills.csv", "positions.csv", "pnl.csv", "oi.parquet", "journal.db")
_OURS: Final = (*FILES, "journal-????-??-??.db")


@contextmanager
def fresh_folder(out: Path, names: tuple[str, ...] = _OURS) -> Iterator[Path]:
    """Give a temporary folder beside ``out`` that takes its place when the block ends well.

    An earlier result at ``out`` stays as it was until then, and stays for good when the
    block raises, Ctrl-C included. A folder that holds anything but ``names`` (patterns of file
    names) is never touched.

    Raises
    ------
    BadData
        Before the block runs: when ``out`` cannot be written or holds other files.
    """
    out = out.expanduser().resolve()
    _refuse_foreign(out, names)
    made = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise BadData(f"cannot write to {out}: {error.strerror or error}; choose another --out") from None
    try:
        yield folder
        for path in folder.iterdir():
            _flush(path)
        folder.chmod(0o755)
        _swap(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with suppress(OSError):
                parent.rmdir()


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as CSV: numbers in their shortest exact form, times with their offset, nulls empty.

    Raises
    ------
    BadData
        When the disk refuses.
    """
    with _disk(path):
        frame.write_csv(path, line_terminator="\n", datetime_format="%Y-%m-%dT%H:%M:%S%.6f%:z")


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as Parquet.

    Raises
    ------
    BadData
        When the disk refuses.
    """
    with _disk(path):
        frame.write_parquet(path, compression="zstd", statistics=False)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """What a full or failing disk raises, as one line; polars says it in two ways."""
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        raise BadData(f"cannot write {path.name}: {error}; free the disk and run again") from None


def _refuse_foreign(out: Path, names: tuple[str, ...]) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise BadData(f"{out} is a file; --out must be a folder")
    if not os.access(out, os.W_OK):
        raise BadData(f"cannot write to {out}: permission denied; choose another --out")
    ours = [f"{name}{end}" for name in names for end in ("", "-wal", "-shm")]
    foreign = sorted(p.name for p in out.iterdir() if not any(fnmatchcase(p.name, name) for name in ours))
    if foreign:
        raise BadData(f"{out} holds other files ({foreign[0]}); choose a new or empty folder for --out")


def _swap(folder: Path, out: Path) -> None:
    """Put ``folder`` at ``out``; the old one goes only after the new one stands."""
    if not out.exists():
        folder.rename(out)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".old", dir=out.parent))
    old = aside / "was"
    try:
        out.rename(old)
        folder.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
