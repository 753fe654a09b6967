"""One self-contained page: text, tables and Bokeh charts in a single file.

The file needs nothing but a browser: scripts and styles are inside, and a content
policy in its head forbids it every network request. The same content gives the same
bytes: Bokeh's random and running ids are renumbered in order of appearance.
"""

from __future__ import annotations

import html as _html
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import BadData
from toolkit.report.theme import DARK, LIGHT, css_variables

if TYPE_CHECKING:
    from bokeh.models import Model

__all__ = ["Html", "Page", "badge", "beside", "cards", "empty", "escape", "render", "table", "write_text"]


class Html(str):
    """Markup that is ready to stand in a page; every other text is escaped on its way in."""

    __slots__ = ()


def escape(text: object) -> Html:
    """Any value as text: what a broker or a file wrote never becomes markup.

    >>> escape("<b>5 & 6</b>")
    '&lt;b&gt;5 &amp; 6&lt;/b&gt;'
    """
    return text if isinstance(text, Html) else Html(_html.escape(str(text)))


class Beside(Html):
    """Markup that takes its place among the charts of a section."""

    __slots__ = ()


def beside(block: Html) -> Beside:
    """Let a block stand beside the charts of its section instead of below them."""
    return Beside(block)


def badge(text: str, kind: str = "plain") -> Html:
    """A framed word: ``kind`` is ``paper``, ``warn`` or ``plain``."""
    return Html(f'<span class="badge {escape(kind)}">{escape(text)}</span>')


def cards(items: Iterable[tuple[str, str, str]]) -> Html:
    """Figures at a glance: (name, value, small print). Signed values take gain and loss colours."""
    cells = []
    for name, value, small in items:
        tone = "gain" if value.startswith("+") else "loss" if value.startswith("-") else ""
        cells.append(
            f'<dl class="card" style="margin:0"><dt>{escape(name)}</dt>'
            f'<dd class="{tone}">{escape(value)}</dd><small>{escape(small)}</small></dl>'
        )
    return Html(f'<div class="cards">{"".join(cells)}</div>')


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, num: Iterable[int] = (), wrap: int = -1) -> Html:
    """A plain table.

    Parameters
    ----------
    columns : sequence of str
        Headers, units included.
    rows : iterable of sequences
        Cells, formatted already; escaped here.
    num : iterable of int
        Indices of the columns that hold figures (right aligned).
    wrap : int
        Index of the one column whose text may break over lines, -1 for none.
    """
    right = frozenset(num)
    head = "".join(
        f'<th scope="col"{" class=num" if i in right else ""}>{escape(c)}</th>' for i, c in enumerate(columns)
    )
    body = []
    for row in rows:
        cells = []
        for i, cell in enumerate(row):
            kind = " class=num" if i in right else " class=wrap" if i == wrap else ""
            cells.append(f"<td{kind}>{escape(cell)}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return Html(
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def empty(sentence: str) -> Html:
    """What stands where there is nothing to show."""
    return Html(f'<p class="empty">{escape(sentence)}</p>')


class Page:
    """A page built from top to bottom.

    Parameters
    ----------
    title : str
        Heading and window title.
    subtitle : str
        One line under the heading.
    badges : sequence of Html
        Framed words above the heading, from :func:`badge`.

    Examples
    --------
    >>> page = Page("Open interest", subtitle="NIFTY")
    >>> page.section("Levels", table(["PCR"], [["1.18"]], num=[0]))
    >>> "Levels" in page.html()
    True
    """

    def __init__(self, title: str, *, subtitle: str = "", badges: Sequence[Html] = ()) -> None:
        self.title = title
        self.subtitle = subtitle
        self.badges = tuple(badges)
        self._body: list[str] = []
        self._nav: list[tuple[str, str]] = []
        self._charts: list[Model] = []

    def section(self, heading: str, *blocks: Html | Model | str, note: str = "", columns: int = 1) -> None:
        """Add a section: Bokeh models side by side in ``columns`` (one on a phone), anything else full width.

        Neighbouring charts share one grid; a ``str`` that is not :class:`Html` becomes a paragraph.
        """
        anchor = f"s{len(self._nav) + 1}"
        self._nav.append((anchor, heading))
        parts = [f'<section id="{anchor}"><h2>{escape(heading)}</h2>']
        if note:
            parts.append(f'<p class="note">{escape(note)}</p>')
        grid = {1: "", 2: " two", 3: " three"}[columns]
        run: list[str] = []
        for block in blocks:
            if isinstance(block, str) and not isinstance(block, Beside):
                parts.extend(_closed(run, grid))
                parts.append(block if isinstance(block, Html) else f"<p>{escape(block)}</p>")
            else:
                run.append(f"<div>{block}</div>" if isinstance(block, Beside) else self._figure(block))
        parts.extend(_closed(run, grid))
        parts.append("</section>")
        self._body.append("".join(parts))

    def _figure(self, chart: Model) -> str:
        """The chart's place; its title leaves the canvas for the page, where it can wrap and be read aloud."""
        self._charts.append(chart)
        title = getattr(chart, "title", None)
        caption = ""
        if title is not None and title.text:
            caption = f"<figcaption>{escape(title.text)}</figcaption>"
            title.visible = False
        return f'<figure>{caption}<div class="chart" id="c{len(self._charts)}"></div></figure>'

    def html(self, footer: str = "") -> str:
        """The whole document as text."""
        nav = "".join(f'<a href="#{a}">{escape(h)}</a>' for a, h in self._nav)
        header = (
            f'<header class="top">{"".join(self.badges)}<h1>{escape(self.title)}</h1>'
            f'<p class="sub">{escape(self.subtitle)}</p><nav aria-label="Sections">{nav}</nav></header>'
        )
        foot = f"<footer>{escape(footer)}</footer>" if footer else ""
        return render(self.title, header + "<main>" + "".join(self._body) + "</main>" + foot, self._charts)

    def write(self, path: Path | str, footer: str = "") -> Path:
        """Write the page to ``path``: whole, or not at all."""
        return write_text(path, self.html(footer))


def _closed(run: list[str], grid: str) -> list[str]:
    """The waiting charts as one grid, and none waiting."""
    if not run:
        return []
    block = f'<div class="charts{grid}">{"".join(run)}</div>'
    run.clear()
    return [block]


def render(title: str, body: str, charts: Sequence[Model] = (), *, style: str = "") -> str:
    """A document around ``body``, in which chart *n* fills the element with id ``c<n>`` (from 1)."""
    return _DOCUMENT.format(
        title=escape(title),
        css=css_variables() + _asset("page.css") + style,
        body=body,
        scripts=_scripts(charts) if charts else "",
    )


def write_text(path: Path | str, text: str) -> Path:
    """Write text to a file through a temporary one beside it, so that no half of it is ever seen.

    Raises
    ------
    BadData
        When the folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise BadData(f"cannot write {target}: {error.strerror}; choose a folder that exists and is writable") from None
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(target)
    except OSError as error:
        raise BadData(f"cannot write {target}: {error.strerror}; check the free space and the rights") from None
    finally:
        part.unlink(missing_ok=True)
    return target


@cache
def _asset(name: str) -> str:
    return files("toolkit.report").joinpath(name).read_text(encoding="utf-8").replace("\n", "")


@cache
def _bokeh_js() -> str:
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)


def _scripts(charts: Sequence[Model]) -> str:
    docs, roots = _documents(charts)
    swap = json.dumps([[LIGHT[name], DARK[name]] for name in LIGHT])
    return (
        f"<script>{_bokeh_js()}</script>"
        f'<script type="application/json" id="docs">{docs}</script>'
        f"<script>{_BOOT.format(swap=swap, roots=roots)}</script>"
    )


def _documents(charts: Sequence[Model]) -> tuple[str, str]:
    """The charts as Bokeh's JSON, with ids renumbered by appearance, and where each goes."""
    from bokeh.document import Document

    document = Document()
    for chart in charts:
        document.add_root(chart)
    try:
        names: dict[str, str] = {}
        content = _renumbered(document.to_json(deferred=False), names)
        roots = {names[chart.id]: f"c{i}" for i, chart in enumerate(charts, 1)}
    finally:
        document.clear()
    text = json.dumps({"d": content}, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    items = json.dumps([{"docid": "d", "roots": roots, "root_ids": list(roots)}], separators=(",", ":"))
    return text.replace("<", "\\u003c"), items


_ID = re.compile(r"p\d+\Z")


def _renumbered(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        fresh = {}
        for key, item in value.items():
            if key == "id" and isinstance(item, str) and _ID.match(item):
                fresh[key] = names.setdefault(item, f"p{len(names) + 1}")
            else:
                fresh[key] = _renumbered(item, names)
        return fresh
    if isinstance(value, (list, tuple)):
        return [_renumbered(item, names) for item in value]
    return value


_DOCUMENT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; \
style-src 'unsafe-inline'; img-src data: blob:; font-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
{body}
{scripts}
</body>
</html>
"""

_BOOT = """
(function () {{
  const dark = document.documentElement.dataset.theme === "dark" ||
    (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  let text = document.getElementById("docs").textContent;
  if (dark) for (const [light, night] of {swap}) text = text.replaceAll('"' + light + '"', '"' + night + '"');
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
  Bokeh.set_log_level("warn");
  Bokeh.embed.embed_items(JSON.parse(text), {roots}).then(
    () => {{ document.documentElement.dataset.charts = "ready"; }});
}})();
"""
