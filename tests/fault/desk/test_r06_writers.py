"""R06: one writer an account; another process, or one on a copy of the folder, is refused and told who holds it."""

from __future__ import annotations

import shutil
import time

import pytest


def test_a_second_engine_and_one_on_a_copied_folder_are_refused_and_name_the_holder(floor, tmp_path):
    rig, sim, desk = floor.rig, floor.sim, floor.desk
    desk.place("WRITER", price=75.0)
    shutil.copytree(desk.folder / "home", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    words = ["serve", "--broker", desk.broker, "--account", sim.account, "--live", sim.account, "--port", "0"]
    for home in (desk.folder / "home", tmp_path / "copy"):
        code, refusal = rig.parent.refused(
            words, {**desk.env, "TOOLKIT_HOME": str(home)}, tmp_path / f"{home.name}.err"
        )
        assert code == 3, refusal
        assert str(desk.ready_line["pid"]) in refusal
    assert (verdict := rig.ready(desk, sim)), verdict


@pytest.mark.soak
def test_r06_killed_holders_leave_nothing_locked(floor, rounds):
    rig, sim, desk = floor.rig, floor.sim, floor.desk
    starts = []
    for number in range(rounds(20)):
        desk.place(f"HELD{number}", price=75.0)
        desk.kill()
        began = time.monotonic()
        desk.start()
        starts.append(time.monotonic() - began)
    assert (verdict := rig.ready(desk, sim)), verdict
    print(f"R06 {floor.dialect}: {len(starts)} holders killed, the next one ready after at most {max(starts):.1f} s")
