"""What all pages share: the frame around them, the address they keep their state in, and how they are served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import panel as pn
import param

from toolkit.report.theme import DARK, LIGHT, css_variables

__all__ = ["Page", "serve"]

_HERE = Path(__file__).parent
HOST = "127.0.0.1"


class Page(pn.viewable.Viewer):
    """One page, one class: state in parameters, computation in toolkit calls.

    A subclass names its place (``path``), the parameters that live in the address
    (``url``), the words of its header and its slots in order (name to heading), and
    gives one component a slot. Parameters travel both ways: opening the address opens
    the same view.
    """

    path: ClassVar[str] = ""
    url: ClassVar[tuple[str, ...]] = ("theme",)
    slots: ClassVar[Mapping[str, str]] = {}
    css: ClassVar[str] = ""

    theme = param.Selector(default="light", objects=["light", "dark"])

    @property
    def colors(self) -> Mapping[str, str]:
        """Colour tokens of the page's theme."""
        return DARK if self.theme == "dark" else LIGHT

    def mode(self) -> str:
        """The first word of the header: what the page acts on."""
        return "PAPER"

    def words(self) -> list[tuple[str, str]]:
        """Further words of the header: (text, class)."""
        return []

    def parts(self) -> Mapping[str, Any]:
        """The component of each slot."""
        return {}

    def start(self) -> None:
        """Fill the page; runs once, after the address has been read."""

    def window_title(self) -> str:
        """Title of the browser's tab."""
        return self.mode()

    def open(self) -> pn.Template:
        """Read the address, fill the page, and give the document to serve."""
        if pn.state.location is not None:
            pn.state.location.sync(self, list(self.url), on_error=self._take_what_fits)
            pn.state.onload(self._write_address)
        self.start()
        page = pn.Template((_HERE / "page.html").read_text(encoding="utf-8"), location=True)
        for name, value in self._variables().items():
            page.add_variable(name, value)
        parts = self.parts()
        for name in self.slots:
            page.add_panel(name, parts[name])
        return page

    def _take_what_fits(self, values: Mapping[str, Any]) -> None:
        """Of an address that does not fit as a whole, take each value that does."""
        for name, value in values.items():
            with suppress(ValueError, TypeError):
                setattr(self, name, value)

    def _write_address(self) -> None:
        """Put the whole state into the address, defaults included, so that a copied link is complete."""
        pn.state.location.update_query(**{name: getattr(self, name) for name in self.url})

    def _variables(self) -> dict[str, Any]:
        return {
            "page_css": css_variables() + (_HERE / "page.css").read_text(encoding="utf-8") + self.css,
            "window_title": self.window_title(),
            "mode": self.mode(),
            "words": self.words(),
            "slots": list(self.slots),
            "titles": dict(self.slots),
        }


def serve(pages: Mapping[str, Callable[[], Page]], port: int, ready: Callable[[str], None]) -> None:
    """Serve pages on loopback from this process until it is told to stop.

    Parameters
    ----------
    pages : mapping
        Path to what makes the page of one session.
    port : int
        The port; the exact address is the only origin that may open a session.
    ready : callable
        Called with the address once the server accepts.

    Raises
    ------
    OSError
        The port is taken.
    """
    server = pn.serve(
        {path or "/": lambda make=make: make().open() for path, make in pages.items()},
        address=HOST,
        port=port,
        websocket_origin=[f"{HOST}:{port}"],
        num_procs=1,
        liveness=True,
        show=False,
        start=False,
        title="toolkit",
        verbose=False,
    )
    server.start()
    server.io_loop.add_callback(ready, f"http://{HOST}:{port}/")
    server.run_until_shutdown()
