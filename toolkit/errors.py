"""One error tree. Each class answers one question: what may the caller do?

    ToolkitError                 the root: catch this at the outermost edge
    |-- BadData                  input is wrong; nothing was changed; fix it and call again
    |   |-- BadOrder             a field cannot be part of an order; it never left
    |   |-- BadSetting           a setting is unknown or out of range
    |   `-- UnknownSymbol        no such contract, or several; the text lists the candidates
    |-- RiskDenied               our own risk engine said no; the order never left
    |-- Refused                  certainly not placed: the broker or the exchange said no
    |   `-- AuthExpired          log in again, then repeat; nothing was placed
    |-- Unknown                  may be placed: reconcile; the machine never sends it again
    |-- Retryable                a read failed; asking again is safe
    `-- Halted                   the engine accepts no new exposure; the text says why and what re-arms it

Broker exceptions never leave ``toolkit.brokers``; each becomes one of these.
The text of every error is one line: what, where, ``was X``, what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AuthExpired",
    "BadData",
    "BadOrder",
    "BadSetting",
    "Halted",
    "Refused",
    "Retryable",
    "RiskDenied",
    "ToolkitError",
    "Unknown",
    "UnknownSymbol",
    "nearest",
]


class ToolkitError(Exception):
    """Root of every error this library raises on purpose."""

    exit_code = 1


class BadData(ToolkitError, ValueError):
    """The input is wrong and nothing was changed."""


class BadOrder(BadData):
    """A field cannot be part of an order: certainly not placed.

    Parameters
    ----------
    rule : str
        The field.
    limit, value : object
        What it must be, and what it was.
    text : str
        One line that says both.
    """

    exit_code = 3

    def __init__(self, rule: str, limit: object, value: object, text: str) -> None:
        super().__init__(text)
        self.rule = rule
        self.limit = limit
        self.value = value


class BadSetting(BadData):
    """A setting is unknown or out of its range."""

    exit_code = 2


class UnknownSymbol(BadData):
    """A symbol names no contract, or more than one."""


class Refused(ToolkitError):
    """The broker or the exchange refused: certainly not placed."""

    exit_code = 3


class AuthExpired(Refused):
    """The broker's token is no longer valid: log in again. Nothing was placed."""


class RiskDenied(ToolkitError):
    """Our own pre-trade risk refused the order; it never left.

    Parameters
    ----------
    rule : str
        Name of the first rule that refused.
    limit, value : object
        The limit and the value that broke it, in the rule's unit.
    text : str
        One line with every reason.
    """

    exit_code = 3

    def __init__(self, rule: str, limit: object, value: object, text: str) -> None:
        super().__init__(text)
        self.rule = rule
        self.limit = limit
        self.value = value


class Unknown(ToolkitError):
    """The outcome is not known: the order may be placed. Reconcile; never resend."""

    exit_code = 4


class Retryable(ToolkitError):
    """A read failed for a passing reason; asking again is safe."""


class Halted(ToolkitError):
    """The engine accepts no new exposure."""

    exit_code = 3


def nearest(word: str, known: Iterable[str], *, most: int = 3, tell: bool = False) -> str:
    """Name the known words nearest to ``word`` (case aside), ready to append to an error text.

    With ``tell`` all of them are named where none is near.

    >>> nearest("stopp", ["stop", "lots"])
    "; did you mean 'stop'?"
    >>> nearest("zzz", ["stop"])
    ''
    >>> nearest("zzz", ["stop", "lots"], tell=True)
    '; known: stop, lots'
    """
    names = list(known)
    by_lower: dict[str, str] = {}
    for name in names:
        if name == word or name.lower() not in by_lower:
            by_lower[name.lower()] = name
    close = get_close_matches(word.lower(), list(by_lower), n=most, cutoff=0.5)
    if not close:
        return f"; known: {', '.join(names)}" if tell else ""
    return "; did you mean " + " or ".join(f"'{by_lower[w]}'" for w in close) + "?"
