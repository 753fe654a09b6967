"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

import toolkit  # noqa: F401  (points numba's cache at the user's home before the home is moved)

settings.register_profile("house", deadline=None)  # the first example may compile a kernel
settings.load_profile("house")

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SHARED_SAMPLES", ROOT.parent / "shared"))


def shared_file(*parts: str) -> Path:
    """A real sample from the shared folder: absent, the test is skipped in words; in CI that is a failure."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        reason = f"real sample {'/'.join(parts)} is not beside the checkout (set SHARED_SAMPLES to its folder)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def shared():
    """``shared("data", "nse", NAME)`` gives the path of a real sample, or skips saying why."""
    return shared_file


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory):
    """Tests write their state under a folder of their own; the kernels' cache stays shared."""
    before = os.environ.get("TOOLKIT_HOME")
    os.environ["TOOLKIT_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    if before is None:
        os.environ.pop("TOOLKIT_HOME")
    else:
        os.environ["TOOLKIT_HOME"] = before
