"""Append to a session store without rewriting it: a recording's parts, each committed whole.

Every append writes new part files, flushes them and then replaces ``session.json``; a reader
or a kill at any moment sees the store as of some whole append. Many small parts of one day
are merged into one when there are ``MERGE`` of them, so neither the manifest nor a reader
suffers from a day of ten-second parts, and nothing is merged twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from toolkit.errors import BadData
from toolkit.store.session_files import (
    MANIFEST,
    SCHEMAS,
    StoreWriter,
    coverage,
    lock_store,
    make_part,
    one_line,
    read_manifest,
    split_parts,
    sync,
)

__all__ = ["MERGE", "StoreAppender"]

MERGE: Final = 16


class StoreAppender:
    """Adds rows to a store part by part; made for one recording.

    Parameters
    ----------
    path : str or Path
        The store's folder: new, empty or an earlier store, which is added to.
    instruments : DataFrame
        Terms of what will be recorded, in the schema ``INSTRUMENTS``.
    meta : mapping
        ``name``, ``synthetic``, ``source`` and notes, for a new store.

    Raises
    ------
    BadData
        The folder holds other files or cannot be written, or an earlier store says of itself
        that it is synthetic and this recording is not, or the other way round.
    """

    def __init__(self, path: str | Path, instruments: pl.DataFrame, meta: Mapping[str, Any]) -> None:
        self.path = Path(path).absolute()
        if (self.path / MANIFEST).exists():
            held = read_manifest(self.path)
            if held.get("parts") and bool(held.get("synthetic")) != bool(meta["synthetic"]):
                kind = "synthetic" if held.get("synthetic") else "recorded"
                raise BadData(f"{self.path} is a {kind} session, this recording is not; name another folder")
            meta = {}
        with StoreWriter(self.path) as writer:
            writer.add({"instruments": instruments})
            writer.commit(meta)

    def append(self, tables: Mapping[str, pl.DataFrame], notes: Mapping[str, Any] | None = None) -> int:
        """Add rows of ``chain futures spot ticks`` and put ``notes`` into the store's meta; gives the rows added.

        Raises
        ------
        BadData
            The disk is full or fails; the store is as it was before the call.
        """
        handle = lock_store(self.path)
        try:
            with one_line(self.path):
                return self._append(tables, dict(notes or {}))
        finally:
            os.close(handle)

    def _append(self, tables: Mapping[str, pl.DataFrame], notes: dict[str, Any]) -> int:
        manifest = read_manifest(self.path)
        parts: dict[str, list[dict[str, Any]]] = manifest["parts"]
        added, written, gone = 0, list[str](), list[str]()
        for table in sorted(tables):
            for names, piece in split_parts(table, tables[table].select(list(SCHEMAS[table]))):
                held = parts.setdefault(table, [])
                part = self._write(table, names, piece)
                if part["path"] in {p["path"] for p in held}:
                    continue  # the very same rows again
                written.append(part["path"])
                added += int(part["rows"])
                held.append({**part, "fresh": True})
                gone += self._merge(table, names, held, written)
                held.sort(key=lambda p: (p["date"], p["underlying"]))
        manifest |= coverage(parts)
        manifest["meta"] = {**manifest.get("meta", {}), **notes}
        self._commit(manifest, written)
        for name in gone:
            (self.path / name).unlink(missing_ok=True)
        return added

    def _write(self, table: str, names: tuple[str, str], piece: pl.DataFrame) -> dict[str, Any]:
        part, blob = make_part(table, names, piece, "snapshots")
        target = self.path / str(part["path"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(blob)
        sync(target)
        return part

    def _merge(self, table: str, names: tuple[str, str], held: list[dict[str, Any]], written: list[str]) -> list[str]:
        """Turn the fresh parts of one day into one when there are enough; gives the files that are done with."""
        mine = [p for p in held if (p["date"], p["underlying"]) == names and p.get("fresh")]
        if len(mine) < MERGE:
            return []
        files = [self.path / p["path"] for p in mine]
        whole = self._write(table, names, pl.concat(pl.read_parquet(f, hive_partitioning=False) for f in files))
        at = held.index(mine[0])
        held[:] = [p for p in held if p not in mine]
        held.insert(min(at, len(held)), whole)
        written.append(whole["path"])
        return [p["path"] for p in mine if p["path"] != whole["path"]]

    def _commit(self, manifest: dict[str, Any], written: list[str]) -> None:
        for folder in sorted({(self.path / name).parent for name in written}):
            sync(folder)
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n"
        fresh = self.path / f"{MANIFEST}.new"
        fresh.write_text(text, encoding="utf-8")
        sync(fresh)
        os.replace(fresh, self.path / MANIFEST)
        sync(self.path)
