"""The README's commands run as written, in order, and its links and module names exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHAIN_CSV = """CALLS,,PUTS
,OI,CHNG IN OI,VOLUME,IV,LTP,CHNG,BID QTY,BID,ASK,ASK QTY,STRIKE,BID QTY,BID,ASK,ASK QTY,CHNG,LTP,IV,VOLUME,CHNG IN OI,OI,
{rows}"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def downloaded_chain() -> str:
    rows = []
    for strike in range(24000, 25001, 100):
        call = max(25.0, 24500 - strike + 180.0)
        put = max(25.0, strike - 24500 + 170.0)
        rows.append(
            f',"{1000 + abs(strike - 24700):,}",120,"1,500",12.5,"{call:,.2f}",-3.10,75,"{call - 0.5:,.2f}","{call + 0.5:,.2f}",150,'
            f'"{strike:,}.00",150,"{put - 0.5:,.2f}","{put + 0.5:,.2f}",75,2.05,"{put:,.2f}",13.1,"1,200",-40,"{1000 + abs(24300 - strike):,}",'
        )
    return CHAIN_CSV.format(rows="\n".join(rows) + "\n")


def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TOOLKIT_HOME": str(tmp_path / "home"),
    }


def test_the_shell_blocks_run_as_written(tmp_path: Path) -> None:
    (tmp_path / "option-chain-ED-NIFTY-25-Nov-2025.csv").write_text(downloaded_chain())
    (tmp_path / "data").symlink_to(ROOT / "data")
    ran = 0
    for block in blocks("bash"):
        lines = [line.split(" #")[0].strip() for line in block.split("\n")]
        for line in lines:
            if (
                not line
                or line.startswith(("make ", "git ", "cd ", "pip ", "sudo "))
                or "dashboard" in line
                or "lab" in line.split()
            ):
                continue
            done = subprocess.run(
                line, shell=True, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            ran += 1
    assert ran >= 4


def test_the_python_blocks_run_as_written(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    found = blocks("python")
    assert found
    for block in found:
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"


def test_make_targets_named_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_every_file_and_module_named_exists() -> None:
    for name in set(re.findall(r"`((?:toolkit|data|notebooks|dashboards|tests)/[A-Za-z0-9_./]+)`", README)):
        assert (ROOT / name).exists(), name
    for link in set(re.findall(r"\]\((?!http)([^)#]+)\)", README)):
        assert (ROOT / link).exists(), link


COMPONENTS = (
    "order processor", "smart order router", "execution monitor", "order book manager", "execution strategy engine",
    "pre-trade risk engine", "position risk monitor", "account risk manager", "rule engine", "circuit breaker",
    "position tracker", "portfolio manager", "performance calculator", "analytics", "reporting",
    "core", "integration", "API", "WebSocket", "monitoring",
)  # fmt: skip


@pytest.mark.parametrize("name", COMPONENTS)
def test_each_component_name_is_mapped(name: str) -> None:
    assert re.search(rf"^\| [^|]*\b{re.escape(name)}\b", README, flags=re.M | re.I), name
