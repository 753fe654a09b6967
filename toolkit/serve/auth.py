"""Who may speak: bearer tokens with scopes, kept in files of mode 0600 that die with the day's session.

There is no default token: the first start makes them. A token is compared as a digest, always against every
scope, so that neither time nor text tells how near a guess was.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from toolkit import tables
from toolkit.calendar import ist_date
from toolkit.config import home
from toolkit.errors import BadData

__all__ = ["SCOPES", "Guesses", "TokenBook", "expiry_ns"]

SCOPES: Final = ("read", "trade", "admin")
"""Each may do what the ones before it may."""
_BYTES: Final = 32
_LONGEST: Final = 256
_MINUTE_NS: Final = 60 * 10**9


class _Held(msgspec.Struct, frozen=True):
    digest: bytes
    made_ns: int
    expires_ns: int


def expiry_ns(made_ns: int) -> int:
    """When a token made at ``made_ns`` dies: at the first close of a session after it (nanoseconds UTC)."""
    calendar, day = tables.calendar("NSE"), ist_date(made_ns)
    if calendar.is_session(day):
        close_ns = calendar.bounds_ns(day)[1]
        if close_ns > made_ns:
            return close_ns
    return calendar.bounds_ns(calendar.next(day))[1]


class TokenBook:
    """The tokens of one toolkit's home, one file a scope.

    Parameters
    ----------
    clock : callable
        The machine's time, nanoseconds UTC: tokens are of this machine's day, whatever day a simulated venue plays.
    folder : Path, optional
        Default: ``api/`` under the toolkit's home.
    """

    def __init__(self, clock: Callable[[], int], folder: Path | None = None) -> None:
        self._clock = clock
        self._folder = folder or home() / "api"
        self._held: dict[str, _Held] = {}

    def path(self, scope: str = "admin") -> Path:
        """The file whose one line is the token of a scope."""
        if scope not in SCOPES:
            raise BadData(f"scope must be one of {', '.join(SCOPES)}, was {scope!r}")
        return self._folder / f"token-{scope}"

    def open(self) -> Path:
        """Read the tokens, or make those that are missing or dead; gives the file of the widest."""
        for scope in SCOPES:
            self._held[scope] = self._read(scope) or self._make(scope)
        return self.path()

    def rotate(self) -> None:
        """Make every token anew; the old ones are refused from now on."""
        for scope in SCOPES:
            self._held[scope] = self._make(scope)

    def scope(self, token: str | None) -> str | None:
        """The scope of a token, None for one that is none (or no longer)."""
        now_ns = self._clock()
        if any(held.expires_ns <= now_ns for held in self._held.values()):
            self.rotate()
        self._refresh()
        shown = hashlib.sha256((token or "").encode("utf-8", "replace")[:_LONGEST]).digest()
        found = None
        for scope, held in self._held.items():  # every one is compared, whichever fits
            if hmac.compare_digest(shown, held.digest):
                found = scope
        return found if token else None

    def _refresh(self) -> None:
        """Take up tokens that another process of this home has rotated."""
        for scope, held in self._held.items():
            try:
                changed = os.stat(self.path(scope)).st_mtime_ns != held.made_ns
            except OSError:
                changed = False
            if changed:
                self._held[scope] = self._read(scope) or held

    def _read(self, scope: str) -> _Held | None:
        path = self.path(scope)
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadData(f"token file {path} cannot be read: {error.strerror}; remove it") from None
        with os.fdopen(file, "rb") as opened:
            stat = os.fstat(opened.fileno())
            if stat.st_mode & 0o077 or stat.st_uid != os.getuid():
                raise BadData(f"token file {path} may be read by others; remove it and start again")
            text = opened.read(_LONGEST).strip()
        expires = expiry_ns(stat.st_mtime_ns)
        if len(text) < _BYTES or expires <= self._clock():
            return None
        return _Held(hashlib.sha256(text).digest(), stat.st_mtime_ns, expires)

    def _make(self, scope: str) -> _Held:
        token = secrets.token_urlsafe(_BYTES)
        now_ns = self._clock()
        _write_private(self.path(scope), token.encode() + b"\n", now_ns)
        return _Held(hashlib.sha256(token.encode()).digest(), now_ns, expiry_ns(now_ns))


class Guesses:
    """Wrong tokens of the last minute: past ``most`` each further one is answered late.

    Parameters
    ----------
    most : int
        Wrong tokens a minute that are answered at once.
    delay_s : float
        How late the others are.
    """

    def __init__(self, most: int = 5, delay_s: float = 1.0) -> None:
        self._most = most
        self._delay_s = delay_s
        self._at: deque[int] = deque(maxlen=1000)
        self.total = 0

    def wrong(self, now_ns: int) -> float:
        """Count one; gives the seconds to wait before it is answered."""
        while self._at and self._at[0] <= now_ns - _MINUTE_NS:
            self._at.popleft()
        self._at.append(now_ns)
        self.total += 1
        return self._delay_s if len(self._at) > self._most else 0.0


def _write_private(path: Path, body: bytes, now_ns: int) -> None:
    """Write a file that only its owner reads; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".token")  # mode 0600 from the start
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.utime(name, ns=(now_ns, now_ns))
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
