"""Settings, secrets and the places on disk.

One typed tree, read in this order, later wins: defaults, ``$TOOLKIT_HOME/config.toml``,
environment (``TOOLKIT_`` prefix, ``__`` between levels), options given by the caller.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from toolkit.errors import BadData, BadSetting, nearest

__all__ = ["SECTIONS", "Secret", "Settings", "home", "share"]

SECTIONS: Final = ("alerts", "api", "engine", "kite", "risk", "store", "xts")
_PREFIX: Final = "TOOLKIT_"
_NOT_SETTINGS: Final = frozenset({"TOOLKIT_HOME"})

T = TypeVar("T", bound=msgspec.Struct)


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


class Settings:
    """The settings tree as read: values by section and key, with the place each came from.

    Rooms declare their section as a ``msgspec.Struct`` and ask for it with :meth:`section`.

    >>> class Engine(msgspec.Struct, frozen=True):
    ...     poll_s: float = 1.0
    >>> Settings.load(environ={"TOOLKIT_ENGINE__POLL_S": "0.5"}).section("engine", Engine).poll_s
    0.5
    """

    def __init__(self, values: Mapping[str, Mapping[str, tuple[object, str]]]) -> None:
        self._values = {name: dict(keys) for name, keys in values.items()}

    @classmethod
    def load(
        cls,
        *,
        environ: Mapping[str, str] | None = None,
        options: Mapping[str, Mapping[str, object]] | None = None,
        folder: Path | None = None,
    ) -> Settings:
        """Read ``config.toml``, then the environment, then the caller's options; later wins.

        Raises
        ------
        BadSetting
            For a broken file, an unknown section or a value that is not in a section.
        """
        values: dict[str, dict[str, tuple[object, str]]] = {}
        path = (folder or home()) / "config.toml"
        for name, keys in _toml(path).items():
            if not isinstance(keys, dict):
                raise BadSetting(f"{path}: '{name}' stands outside a section; put it under one of {_sections()}")
            _merge(values, name, keys, str(path))
        env = os.environ if environ is None else environ
        for variable in sorted(env):
            if variable.startswith(_PREFIX) and variable not in _NOT_SETTINGS:
                name, _, key = variable.removeprefix(_PREFIX).lower().partition("__")
                if not key:
                    known = [f"{_PREFIX}{s.upper()}__" for s in SECTIONS]
                    raise BadSetting(
                        f"environment variable {variable} names no setting; it needs a section and two underscores"
                        f"{nearest(variable, known)}"
                    )
                _merge(values, name, {key: env[variable]}, f"environment variable {variable}")
        for name, keys in (options or {}).items():
            _merge(values, name, keys, "command line")
        return cls(values)

    def with_options(self, options: Mapping[str, Mapping[str, object]]) -> Settings:
        """The same tree with the caller's options on top."""
        values = {name: dict(keys) for name, keys in self._values.items()}
        for name, keys in options.items():
            _merge(values, name, keys, "option")
        return Settings(values)

    def section(self, name: str, kind: type[T]) -> T:
        """The section ``name`` as ``kind``: every key known, every value of its type.

        Raises
        ------
        BadSetting
            Naming the place, the value and, for an unknown key, the nearest known one.
        """
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        typed: dict[str, Any] = {}
        for key, (value, place) in self._values.get(name, {}).items():
            if key not in fields:
                raise BadSetting(f"{place}: [{name}] has no setting '{key}'{nearest(key, fields)}")
            want = fields[key].type
            if want is Secret:
                typed[key] = Secret(str(value))
                continue
            if isinstance(value, str) and str(want).startswith("tuple["):
                value = [part.strip() for part in value.split(",") if part.strip()]
            try:
                typed[key] = msgspec.convert(value, want, strict=False)
            except msgspec.ValidationError as error:
                raise BadSetting(f"{place}: [{name}] {key}: {str(error).lower()}, was {value!r}") from None
        return kind(**typed)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path}: not valid TOML: {error}; mend the line or move the file away") from None


def _sections() -> str:
    return ", ".join(f"[{name}]" for name in SECTIONS)


def _merge(values: dict[str, dict[str, tuple[object, str]]], name: str, keys: Mapping[str, object], place: str) -> None:
    if name not in SECTIONS:
        raise BadSetting(f"{place}: no section '{name}'{nearest(name, SECTIONS) or ';'} known: {_sections()}")
    values.setdefault(name, {}).update({key: (value, place) for key, value in keys.items()})


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
