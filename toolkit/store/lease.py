"""One writer per account and machine: a lock that its holder's death frees at once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from toolkit.config import home
from toolkit.errors import BadData, Refused

__all__ = ["Holder", "Lease", "holders", "reserved"]

_LONGEST: Final = 4096
_RESERVED: Final[dict[Path, Lease]] = {}


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lease: written into the lock's file, so that clients on this machine find the engine.

    ``home`` is the holder's folder of state; ``url`` and ``token_file`` are empty until it serves.
    """

    pid: int
    broker: str = ""
    account: str = ""
    home: str = ""
    mode: str = ""
    url: str = ""
    token_file: str = ""


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
        self._holder = Holder(pid=os.getpid(), broker=broker, account=account, home=str(home()))
        kept = _RESERVED.pop(self.path, None)
        if kept is None:
            self._file = self._lock()
        else:
            self._file, kept._file = kept._file, -1
        self._write()

    def announce(self, url: str, token_file: Path, mode: str) -> None:
        """Say where the engine that holds this answers."""
        self._holder = msgspec.structs.replace(self._holder, url=url, token_file=str(token_file), mode=mode)
        self._write()

    def release(self) -> None:
        """Let it go."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1

    def _lock(self) -> int:
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadData(f"no lock can be made at {self.path}: {error.strerror}; check the folder") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held = _read(file)
            os.close(file)
            where = f" ({held.url})" if held is not None and held.url else ""
            raise Refused(
                f"account {self._holder.account} at {self._holder.broker} is held by process "
                f"{'unknown' if held is None else held.pid}{where} on this machine; use that engine, or stop it first"
            ) from None
        return file

    def _write(self) -> None:
        body = msgspec.json.encode(self._holder)
        os.pwrite(self._file, body, 0)
        os.ftruncate(self._file, len(body))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextlib.contextmanager
def reserved(broker: str, accounts: Sequence[str], realm: str = "") -> Iterator[None]:
    """Take accounts before their engines are made: the next :class:`Lease` of each in this process takes it over.

    So a command is refused before it loads and connects. What nobody took over is let go at the end.

    Raises
    ------
    Refused
        When somebody holds one of them; the text names the process.
    """
    held: list[Lease] = []
    try:
        for account in dict.fromkeys(accounts):
            held.append(Lease(broker, account, realm))
            _RESERVED[held[-1].path] = held[-1]
        yield
    finally:
        for lease in held:
            if _RESERVED.get(lease.path) is lease:
                del _RESERVED[lease.path]
            lease.release()


def holders(broker: str | None = None, accounts: Sequence[str] = ()) -> tuple[Holder, ...]:
    """The engines that serve on this machine with this home, by broker and account.

    A dead holder's file names a process that is no more, or another one that does not answer at its address.
    """
    found = []
    for path in sorted(_folder().glob("*.lock")):
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            held = _read(file)
        finally:
            os.close(file)
        if held is None or not held.url or held.home != str(home()) or not _alive(held.pid):
            continue
        if broker in (None, held.broker) and (not accounts or held.account in accounts):
            found.append(held)
    return tuple(found)


def _read(file: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(file, _LONGEST, 0), type=Holder)
    except (msgspec.MsgspecError, ValueError, OSError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _folder() -> Path:
    """A folder of this user on this machine, the same for every home of the toolkit."""
    place = Path(tempfile.gettempdir()) / f"toolkit-leases-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if place.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BadData(f"{place} is not this user's own private folder; remove it")
    return place
