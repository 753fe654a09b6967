"""Settings, secrets and the places on disk.

One typed tree, read in this order, later wins: defaults, ``$TOOLKIT_HOME/config.toml``,
environment (``TOOLKIT_`` prefix, ``__`` between levels), options given by the caller.
"""

from __future__ import annotations

import os
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from toolkit.errors import BadData

__all__ = ["Secret", "home", "set_numba_cache", "share"]


class Secret:
    """A text that is never printed, pickled or written as JSON; ``reveal()`` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the one place that must send it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(***)"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


def home() -> Path:
    """The toolkit's folder for state, caches and settings (``$TOOLKIT_HOME``)."""
    named = os.environ.get("TOOLKIT_HOME")
    return Path(named).expanduser() if named else Path.home() / ".local" / "share" / "toolkit"


def share(*parts: str) -> Path:
    """A file that ships with the toolkit: under ``data/``, ``notebooks/`` or ``dashboards/``.

    Installed wheels carry the three folders inside the package; a checkout has them at its root.

    Raises
    ------
    BadData
        When no such file ships.
    """
    package = Path(str(files("toolkit")))
    for root in (package / "_share", package.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise BadData(f"no file {'/'.join(parts)} ships with this installation; install it again")


def set_numba_cache() -> None:
    """Point numba's cache at the toolkit's home; must run before numba is imported.

    An unwritable cache makes numba fail at import, so a temporary folder stands in.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    cache = home() / "numba"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if not os.access(cache, os.W_OK):
            raise PermissionError
    except OSError:
        cache = Path(tempfile.gettempdir()) / f"toolkit-numba-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    os.environ["NUMBA_CACHE_DIR"] = str(cache)
