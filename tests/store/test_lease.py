from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from toolkit.errors import BadData, Refused
from toolkit.store import lease as module
from toolkit.store.lease import Lease, holders


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))


def test_one_holder_at_a_time():
    with Lease("kite", "AB1234") as held:
        with pytest.raises(Refused, match=f"account AB1234 at kite is held by process {os.getpid()}"):
            Lease("kite", "AB1234")
        assert held.path.stat().st_mode & 0o077 == 0
    Lease("kite", "AB1234").release()


def test_accounts_brokers_and_realms_are_apart():
    with Lease("kite", "A"), Lease("kite", "B"), Lease("paper", "A"), Lease("kite", "A", "127.0.0.1:1"):
        pass


def test_release_twice_is_harmless():
    held = Lease("kite", "A")
    held.release()
    held.release()


def test_another_home_meets_the_same_lock(tmp_path, monkeypatch):
    with Lease("kite", "A"):
        monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "copy"))
        with pytest.raises(Refused):
            Lease("kite", "A")


def test_a_killed_holder_frees_it(tmp_path):
    code = (
        "import sys, tempfile\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "from toolkit.store.lease import Lease\n"
        "held = Lease('kite', 'A'); print('held', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(Refused, match=f"process {process.pid}"):
        Lease("kite", "A")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    Lease("kite", "A").release()


def test_a_folder_that_is_not_ours_is_refused(tmp_path):
    place = tmp_path / f"toolkit-leases-{os.getuid()}"
    place.mkdir(mode=0o755)
    os.chmod(place, 0o755)
    with pytest.raises(BadData, match="private folder"):
        Lease("kite", "A")
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(BadData):
        Lease("kite", "A")


def test_a_serving_holder_is_found_by_clients_of_its_home(tmp_path, monkeypatch):
    with Lease("kite", "A") as held, Lease("paper", "B"):
        assert holders() == ()
        held.announce("http://127.0.0.1:8700", tmp_path / "token", "live")
        (found,) = holders()
        assert (found.broker, found.account, found.url, found.mode) == ("kite", "A", "http://127.0.0.1:8700", "live")
        assert (found.pid, found.token_file) == (os.getpid(), str(tmp_path / "token"))
        assert holders("paper") == holders(accounts=["B"]) == ()
        assert holders("kite", ["A"]) == (found,)
        with pytest.raises(Refused, match=r"held by process \d+ \(http://127.0.0.1:8700\)"):
            Lease("kite", "A")
        monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "other"))
        assert holders() == ()
    monkeypatch.undo()


def test_a_released_or_dead_holder_is_not_found(tmp_path):
    with Lease("kite", "A") as held:
        held.announce("http://127.0.0.1:8700", tmp_path / "token", "live")
        path = held.path
    assert holders() == ()
    path.write_text('{"pid": 999999999, "home": "' + str(module.home()) + '", "url": "http://127.0.0.1:1"}')
    assert holders() == ()
    path.write_text("not words of ours")
    assert holders() == ()
    Lease("kite", "A").release()
