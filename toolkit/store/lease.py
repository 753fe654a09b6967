"""One writer per account and machine: a lock that its holder's death frees at once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from toolkit.errors import BadData, Refused

__all__ = ["Lease"]


class Lease:
    """The right to send orders for one (broker, account).

    It is held on this machine, not in a folder: a copy of the toolkit's home, or another home,
    meets the same lock. ``realm`` keeps simulated brokers on different ports, and paper accounts of
    different homes, apart.

    Parameters
    ----------
    broker, account : str
    realm : str
        Where the broker is.

    Raises
    ------
    Refused
        When somebody holds it; the text names the process.
    """

    def __init__(self, broker: str, account: str, realm: str = "") -> None:
        mark = hashlib.blake2b(f"{broker}|{account}|{realm}".encode(), digest_size=8).hexdigest()
        self.path = _folder() / f"{broker}-{mark}.lock"
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadData(f"no lock can be made at {self.path}: {error.strerror}; check the folder") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 64, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise Refused(
                f"account {account} at {broker} is held by process {holder} on this machine; "
                "use that engine, or stop it first"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let it go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _folder() -> Path:
    """A folder of this user on this machine, the same for every home of the toolkit."""
    place = Path(tempfile.gettempdir()) / f"toolkit-leases-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if place.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BadData(f"{place} is not this user's own private folder; remove it")
    return place
