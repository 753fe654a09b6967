"""The root of the command line: exit codes, one-line errors, Ctrl-C that is never lost."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings
from types import SimpleNamespace

import pytest

import toolkit.cli.app as root
from toolkit import __version__, errors
from toolkit.cli import groups
from toolkit.cli.app import run, strike_again


def verb_that_raises(monkeypatch, error):
    def fail(**_):
        raise error

    groups.load()
    monkeypatch.setattr(root, "app", fail)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.BadData("price must be positive, was -1"), 1, "toolkit: price must be positive, was -1"),
        (errors.Refused("no"), 3, "toolkit: no"),
        (errors.Unknown("may be placed: reconcile"), 4, "toolkit: may be placed: reconcile"),
        (KeyboardInterrupt(), 130, "toolkit: stopped by Ctrl-C; nothing half-written was kept"),
        (OSError(28, "No space left on device", "/x"), 1, "No space left on device: /x"),
        (ValueError("two\nlines"), 1, "internal error: ValueError: two lines; run again with --debug"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_every_end_has_its_code_and_one_line(monkeypatch, capsys, error, code, text):
    verb_that_raises(monkeypatch, error)
    assert run(["x"]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert text in told.err
    assert told.err.count("\n") == (1 if text else 0)


def test_debug_shows_the_traceback(monkeypatch):
    verb_that_raises(monkeypatch, errors.BadData("bad"))
    with pytest.raises(errors.BadData, match="bad"):
        run(["--debug", "x"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["replai"], "Did you mean 'replay'?"),
        (["replay"], "Missing argument"),
        (["replay", "x", "--seed", "abc"], "Invalid value for '--seed'"),
        (["replay", "x", "--seed", "abc"], ", was 'abc'. Try"),
        (["replay", "x", "--seed=a=b"], ", was 'a=b'. Try"),
        (["--nothing"], "No such option"),
    ],
)
def test_wrong_usage_is_code_2_and_one_line(capsys, words, text):
    assert run(words) == 2
    told = capsys.readouterr()
    assert text in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_only_our_own_warnings_are_shown(capsys, monkeypatch):
    verb_that_raises(monkeypatch, errors.BadData("bad"))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    run(["x"])
    ours = type("Stale", (UserWarning,), {"__module__": "toolkit.tables"})
    warnings.showwarning("the table\nends here", ours, "file.py", 1)
    warnings.showwarning("for developers", DeprecationWarning, "file.py", 1)
    assert capsys.readouterr().err == "toolkit: bad\ntoolkit: note: the table ends here\n"


def test_what_is_lost_and_no_ctrl_c_is_shown_as_python_does(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "__unraisablehook__", seen.append)
    told = SimpleNamespace(exc_type=ValueError)
    strike_again(told)
    assert seen == [told]


LOST = """
    import ctypes, os, signal, sys, time
    from toolkit.cli.app import strike_again

    sys.unraisablehook = strike_again

    @ctypes.CFUNCTYPE(None)
    def callback():
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

    try:
        callback()
        print("lost", flush=True)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            pass
    except KeyboardInterrupt:
        print("struck again")
"""


def test_a_ctrl_c_inside_a_c_callback_is_not_lost():
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(LOST)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "lost\nstruck again\n"
    assert done.stderr == ""


TERMINATED = """
    import sys, signal
    from pathlib import Path
    import toolkit.cli, toolkit.cli.app
    from toolkit.batch.output import fresh_folder

    def run(argv):
        with fresh_folder(Path(argv[0])) as folder:
            (folder / "orders.csv").write_text("half")
            print("writing", flush=True)
            signal.pause()

    toolkit.cli.app.run = run
    toolkit.cli.main()
"""


def test_sigterm_leaves_nothing_half_written(tmp_path):
    script = [sys.executable, "-c", textwrap.dedent(TERMINATED), str(tmp_path / "out")]
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err == ""
    assert list(tmp_path.iterdir()) == []
