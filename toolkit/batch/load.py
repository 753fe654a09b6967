"""Find a strategy: by its shipped name, as ``module:Class``, or in a Python file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from toolkit.errors import BadData, nearest
from toolkit.strategies import shipped
from toolkit.strategies.protocol import Strategy

__all__ = ["find_strategy", "make_strategy"]


def find_strategy(name: str | type[Strategy]) -> type[Strategy]:
    """Find the class of a strategy.

    Parameters
    ----------
    name : str or type
        A shipped name (``oi-wall``), ``package.module:Class``, a path to a ``.py`` file that
        defines one strategy, or ``path.py:Class`` where it defines several. A class is itself.

    Raises
    ------
    BadData
        When there is no such strategy; the text names the nearest.
    """
    if isinstance(name, type):
        if not issubclass(name, Strategy):
            raise BadData(f"a strategy must be a subclass of toolkit.Strategy, was {name.__name__}")
        return name
    place, _, attribute = name.rpartition(":") if ":" in name else (name, "", "")
    if place.endswith(".py") or (attribute == "" and name.endswith(".py")):
        return _in_module(_load_file(Path(place or name)), attribute, place or name)
    if attribute:
        try:
            module = importlib.import_module(place)
        except ImportError as error:
            raise BadData(f"no strategy '{name}': module '{place}' cannot be imported ({error})") from None
        return _in_module(module, attribute, place)
    return shipped(name)


def make_strategy(strategy: str | type[Strategy] | Strategy, params: Mapping[str, object]) -> Strategy:
    """Make a strategy with its parameters checked; an instance is taken as it is.

    Raises
    ------
    BadData
        For an unknown strategy or parameter, or parameters beside an instance.
    """
    if isinstance(strategy, Strategy):
        if params:
            raise BadData(f"strategy '{strategy.name}' is made already; give its parameters when you make it")
        return strategy
    return find_strategy(strategy)(**params)


def _load_file(path: Path) -> ModuleType:
    path = path.expanduser()
    if not path.is_file():
        raise BadData(f"no strategy file {path}; give a shipped name, module:Class or an existing .py file")
    known = f"toolkit_strategy_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(known, path)
    if spec is None or spec.loader is None:
        raise BadData(f"{path} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[known] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[known]
        raise BadData(f"{path} fails when it is imported: {type(error).__name__}: {error}") from error
    return module


def _in_module(module: ModuleType, attribute: str, place: str) -> type[Strategy]:
    own = {
        name: value
        for name, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Strategy) and value is not Strategy and value.__module__ == module.__name__
    }
    if attribute:
        found = getattr(module, attribute, None)
        if isinstance(found, type) and issubclass(found, Strategy):
            return found
        raise BadData(f"{place} defines no strategy '{attribute}'{nearest(attribute, own)}")
    if len(own) != 1:
        names = ", ".join(sorted(own)) or "none"
        raise BadData(f"{place} must define exactly one strategy, has {names}; name one as {place}:Class")
    return next(iter(own.values()))
