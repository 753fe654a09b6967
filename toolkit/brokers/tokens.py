"""A day's access token: kept in the system's keyring, or in a file of mode 0600, with its day."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec

from toolkit.calendar import ist_date
from toolkit.config import Secret, home
from toolkit.errors import BadData

__all__ = ["StoredToken", "TokenStore", "token_day"]

_DIES_NS: Final = 6 * 3600 * 10**9
_SERVICE: Final = "trading-toolkit"


class StoredToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token with the account, the trading day it is good for and when it was given (ns UTC)."""

    token: Secret
    account: str
    day: dt.date
    stored_ns: int


class _Shape(msgspec.Struct):
    token: str
    account: str
    day: dt.date
    stored_ns: int


def token_day(now_ns: int) -> dt.date:
    """The day a token given now is good for: tokens die at 6 in the morning, Indian time."""
    return ist_date(now_ns - _DIES_NS)


class TokenStore:
    """Tokens by broker and key of the app.

    Parameters
    ----------
    folder : Path, optional
        Default: ``tokens/`` under the toolkit's home.
    use_keyring : bool
        Whether to save in the system's keyring; without a working one, the file. A marker file says where
        a token is, so that reading never wakes a keyring for nothing.
    """

    def __init__(self, folder: Path | None = None, *, use_keyring: bool = False) -> None:
        self._folder = folder or home() / "tokens"
        self._use_keyring = use_keyring

    def path(self, broker: str, app: str) -> Path:
        """The file of one app's token; the app's key is not in its name."""
        return self._folder / f"{broker}-{hashlib.blake2b(app.encode(), digest_size=6).hexdigest()}.json"

    def save(self, broker: str, app: str, found: StoredToken) -> str:
        """Keep a token; gives where, in words."""
        shape = _Shape(found.token.reveal(), found.account, found.day, found.stored_ns)
        body = msgspec.json.encode(shape)
        ring = _keyring() if self._use_keyring else None
        marker = self._marker(broker, app)
        if ring is not None:
            with contextlib.suppress(Exception):
                ring.set_password(_SERVICE, f"{broker}:{app}", body.decode())
                _write_private(marker, b"the token is in the system's keyring\n")
                self.path(broker, app).unlink(missing_ok=True)
                return "the system's keyring"
        marker.unlink(missing_ok=True)
        path = self.path(broker, app)
        _write_private(path, body)
        return f"{path} (mode 0600)"

    def in_keyring(self, broker: str, app: str) -> bool:
        """Whether a token is kept in the keyring."""
        return self._marker(broker, app).exists()

    def renew(self, broker: str, app: str, found: StoredToken, in_keyring: bool) -> str:
        """Keep a token where the one before it was kept; gives where, in words."""
        return TokenStore(self._folder, use_keyring=self._use_keyring or in_keyring).save(broker, app, found)

    def load(self, broker: str, app: str, now_ns: int) -> StoredToken | None:
        """The token that is good now, None without one.

        Raises
        ------
        BadData
            When the file is damaged or others may read it.
        """
        body = self._read(broker, app)
        if body is None:
            return None
        try:
            shape = msgspec.json.decode(body, type=_Shape)
        except (msgspec.MsgspecError, ValueError):
            where = self.path(broker, app)
            raise BadData(f"token file {where} is damaged; log in again: toolkit login {broker}") from None
        if shape.day != token_day(now_ns):
            return None
        return StoredToken(token=Secret(shape.token), account=shape.account, day=shape.day, stored_ns=shape.stored_ns)

    def forget(self, broker: str, app: str) -> None:
        """Remove a token."""
        marker = self._marker(broker, app)
        if marker.exists():
            ring = _keyring()
            with contextlib.suppress(Exception):
                ring.delete_password(_SERVICE, f"{broker}:{app}")
            marker.unlink(missing_ok=True)
        self.path(broker, app).unlink(missing_ok=True)

    def _marker(self, broker: str, app: str) -> Path:
        return self.path(broker, app).with_suffix(".keyring")

    def _read(self, broker: str, app: str) -> bytes | None:
        if self._marker(broker, app).exists():
            ring = _keyring()
            with contextlib.suppress(Exception):
                text = None if ring is None else ring.get_password(_SERVICE, f"{broker}:{app}")
                if text is not None:
                    return str(text).encode()
        path = self.path(broker, app)
        try:
            mode = path.stat().st_mode
            body = path.read_bytes()
        except FileNotFoundError:
            return None
        if mode & 0o077:
            raise BadData(f"token file {path} may be read by others (mode {mode & 0o777:o}); run: chmod 600 {path}")
        return body


def _write_private(path: Path, body: bytes) -> None:
    """Write whole or not at all, never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".token-")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _keyring() -> Any:
    """The keyring when a real one works here: the fallback of a bare system is none."""
    try:
        import keyring
        from keyring.backends import fail

        backend = keyring.get_keyring()
        return None if isinstance(backend, fail.Keyring) or backend.priority < 1 else backend
    except Exception:
        return None
