"""R06: one writer an account; another process, or one on a copy of the folder, is refused and told who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest


def words_of(sim, desk) -> list[str]:
    return ["serve", "--broker", desk.broker, "--account", sim.account, "--live", sim.account, "--port", "0"]


def lock_of(pid: int) -> Path:
    """The lock's file that names a process as its holder."""
    folder = Path(tempfile.gettempdir()) / f"toolkit-leases-{os.getuid()}"
    (found,) = [p for p in folder.glob("*.lock") if p.stat().st_size and json.loads(p.read_text())["pid"] == pid]
    return found


def free(path: Path) -> bool:
    """Whether a lock can be taken; it is let go at once."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def test_a_second_engine_and_one_on_a_copied_folder_are_refused_and_name_the_holder(floor, tmp_path):
    rig, sim, desk = floor.rig, floor.sim, floor.desk
    desk.place("WRITER", price=75.0)
    shutil.copytree(desk.folder / "home", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    for home in (desk.folder / "home", tmp_path / "copy"):
        code, refusal = rig.parent.refused(
            words_of(sim, desk), {**desk.env, "TOOLKIT_HOME": str(home)}, tmp_path / f"{home.name}.err"
        )
        assert code == 3, refusal
        assert str(desk.ready_line["pid"]) in refusal
    assert (verdict := rig.ready(desk, sim)), verdict


def killed(floor, tag: str) -> tuple[float, float]:
    """Kill the holder with an order working: seconds until its lock is free, and until the next engine is ready."""
    rig, desk = floor.rig, floor.desk
    desk.place(tag, price=75.0)
    lock = lock_of(desk.ready_line["pid"])
    assert not free(lock)
    began = time.monotonic()
    desk.kill()
    rig.wait_until(lambda: free(lock), 5, "a dead holder's lock is not free after 5 s")
    freed = time.monotonic() - began
    desk.start()
    return freed, time.monotonic() - began


def test_a_killed_holder_leaves_nothing_locked(floor):
    killed(floor, "WRITERK")
    assert (verdict := floor.rig.ready(floor.desk, floor.sim)), verdict


def cold_s(floor, home: Path) -> float:
    """Seconds that a second engine takes to be refused, from a process that has nothing loaded."""
    sim, desk = floor.sim, floor.desk
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *words_of(sim, desk)],
        env={**desk.env, "TOOLKIT_HOME": str(home)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    took = time.monotonic() - began
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert f"is held by process {desk.ready_line['pid']} ({desk.url})" in done.stderr
    assert done.stderr.count("\n") == 1
    return took


@pytest.mark.soak
def test_r06_two_writers(floor, rounds, tmp_path):
    count, desk = rounds(20), floor.desk
    shutil.copytree(desk.folder / "home", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    homes = (desk.folder / "home", tmp_path / "copy")
    took = [cold_s(floor, homes[number % 2]) for number in range(count)]
    assert max(took) <= 2.0, took
    kills = [killed(floor, f"HELD{number}") for number in range(count)]
    assert (verdict := floor.rig.ready(desk, floor.sim)), verdict
    print(
        f"R06 {floor.dialect}: {count} second engines from a cold start, half of them on a copied folder, refused by the "
        f"holder's pid in at most {max(took):.2f} s; {count} holders killed, the lock free after at most "
        f"{max(f for f, _ in kills):.3f} s, the next engine ready after at most {max(r for _, r in kills):.1f} s"
    )
