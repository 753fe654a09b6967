"""The parts pages are made of: our own small components, text nodes only, no build step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import panel as pn
import param
from panel.custom import JSComponent

__all__ = ["Choice", "Column", "Grid", "Strip", "TimeBar"]

_HERE = Path(__file__).parent
_COLUMN_BITS = 64


class Column(NamedTuple):
    """One column: header, CSS width, kind (``num``, ``text``, ``mid`` and side marks), options."""

    name: str
    width: str = "minmax(6ch,1fr)"
    kind: str = "num"
    tone: bool = False
    title: str = ""
    head: bool = False
    tip: bool = False


class Grid(JSComponent):
    """Rows of texts; each :meth:`show` sends only what differs from what the browser has.

    The browser asks for everything when it appears (``hello``), so nothing is lost
    before the first paint. ``data-seq`` on the element names the newest state painted.
    """

    columns = param.List(doc="one mapping a column")
    label = param.String(doc="name of the table for screen readers")

    _esm = _HERE / "grid.js"
    _stylesheets = [_HERE / "grid.css"]  # noqa: RUF012

    def __init__(self, columns: Sequence[Column], label: str, empty: str, **params: Any) -> None:
        self._rows: list[tuple[str, ...]] = []
        self._marks: list[str] = []
        self._keys: list[str] = []
        self._empty = empty
        self._alive = False
        self.seq = 0
        super().__init__(columns=[c._asdict() for c in columns], label=label, sizing_mode="stretch_width", **params)

    def show(
        self, keys: Sequence[str], rows: Sequence[tuple[str, ...]], marks: Sequence[str], empty: str | None = None
    ) -> int:
        """Make ``rows`` the content; returns the sequence number under which the browser will show it.

        Parameters
        ----------
        keys : sequence of str
            Identity of each row; when the sequence changes the table is laid out anew.
        rows : sequence of tuples of str
            Cells; a tuple of one spans all columns.
        marks : sequence of str
            CSS classes of each row.
        empty : str, optional
            The sentence shown when there are no rows.
        """
        self.seq += 1
        same = list(keys) == self._keys and (empty is None or empty == self._empty)
        old, old_marks = self._rows, self._marks
        self._keys, self._rows, self._marks = list(keys), list(rows), list(marks)
        self._empty = self._empty if empty is None else empty
        if not self._alive:
            return self.seq
        if not same or [len(r) for r in old] != [len(r) for r in rows]:
            self._send_all()
            return self.seq
        changed = [
            (i * _COLUMN_BITS + c, text)
            for i, (was, now) in enumerate(zip(old, rows, strict=True))
            for c, (before, text) in enumerate(zip(was, now, strict=True))
            if before != text
        ]
        turned = [[i, now] for i, (was, now) in enumerate(zip(old_marks, marks, strict=True)) if was != now]
        self._send_msg({"k": [k for k, _ in changed], "v": [v for _, v in changed], "m": turned, "seq": self.seq})
        return self.seq

    def _send_all(self) -> None:
        self._send_msg({"rows": self._rows, "marks": self._marks, "empty": self._empty, "seq": self.seq})

    def _handle_msg(self, data: Any) -> None:
        if isinstance(data, dict) and data.get("hello"):
            self._alive = True
            self._send_all()


class Choice(JSComponent):
    """A labelled choice: ``options`` are [value, text] pairs."""

    label = param.String()
    options = param.List(doc="[value, text] each")
    value = param.String()

    _esm = _HERE / "choice.js"
    _stylesheets = [_HERE / "parts.css"]  # noqa: RUF012


class Strip(JSComponent):
    """Figures at a glance: a list of (name, value, small print)."""

    items = param.List(doc="[name, value, small print] each")
    label = param.String(default="Figures")

    _esm = _HERE / "strip.js"
    _stylesheets = [_HERE / "parts.css"]  # noqa: RUF012


class TimeBar(JSComponent):
    """The time slider: ``index`` is where the user is, ``shown`` what the page has painted.

    The browser sends its next position only after ``shown`` has caught up, so a fast
    hand never queues work.
    """

    index = param.Integer(default=0, bounds=(0, None))
    shown = param.Integer(default=-1)
    last = param.Integer(default=0)
    text = param.String()

    _esm = _HERE / "timebar.js"
    _stylesheets = [_HERE / "parts.css"]  # noqa: RUF012


pn.extension()
