"""Files into a session store: read them all, then change the store in one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.detect import How, read_as
from toolkit.store.session_files import StoreWriter

__all__ = ["FileAccount", "import_files", "record_of"]


class FileAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file: ``rows_read == rows_kept + sum(refused.values())``.

    ``already`` is True for a file that the store held with the same options; nothing changed.
    """

    name: str
    format: str
    sha256: str
    rows_read: int
    rows_kept: int
    refused: dict[str, int]
    noted: dict[str, int]
    already: bool


def record_of(done: reading.Imported) -> dict[str, Any]:
    """The account that ``session.json`` keeps of an imported file."""
    return {
        "name": done.name,
        "sha256": done.sha256,
        "format": done.format,
        "options": dict(done.options),
        "rows_read": done.rows_read,
        "rows_kept": done.rows_kept,
        "refused": dict(done.refused),
        "noted": dict(done.noted),
    }


def import_files(
    form: str,
    paths: Sequence[str | Path],
    to: str | Path,
    how: How | None = None,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[FileAccount]:
    """Import files of one format into the session store ``to``.

    All of them or none: a bad file, a full disk or Ctrl-C leaves the store as it was. A
    file imported before with the same options changes no byte.

    Parameters
    ----------
    form : str
        A key of ``toolkit.market.files.detect.FORMATS``.
    paths : sequence of path
        The files, read one after the other; a later one wins where two say the same.
    to : str or Path
        The store's folder, made when it is not there.
    how : How, optional
        What the files do not say themselves.
    progress : callable, optional
        Called with each file's name when it is done.

    Raises
    ------
    BadData
        The first file that cannot be used, the folder that cannot be written, or a store of
        synthetic sessions, which takes no recorded files.
    """
    sources = [Path(path) for path in paths]
    for path in sources:
        reading.check_exists(path)
    accounts = []
    with StoreWriter(to) as writer:
        if writer.held.get("synthetic"):
            raise BadData(f"{to} is a store of synthetic sessions; name another folder for recorded files")
        for path in sources:
            done = read_as(form, reading.fetch(path), how)
            before = writer.holds(done.sha256, done.format, dict(done.options))
            if before is None:
                writer.add(done.tables, kind=done.chain_kind, record=record_of(done))
            accounts.append(_account(done, before is not None))
            if progress is not None:
                progress(path.name)
        if not all(account.already for account in accounts):
            writer.commit({"source": "imported files"})
    return accounts


def _account(done: reading.Imported, already: bool) -> FileAccount:
    return FileAccount(
        name=done.name,
        format=done.format,
        sha256=done.sha256,
        rows_read=done.rows_read,
        rows_kept=done.rows_kept,
        refused=dict(done.refused),
        noted=dict(done.noted),
        already=already,
    )
