"""Every verb has help, an example that parses, and one-line errors with the promised exit codes."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from toolkit.cli import groups
from toolkit.cli.app import app

CLI = Path(__file__).resolve().parents[2] / "toolkit" / "cli"


def verbs() -> dict[tuple[str, ...], object]:
    groups.load()
    root = get_command(app)
    found: dict[tuple[str, ...], object] = {}

    def walk(command: object, path: tuple[str, ...]) -> None:
        children = getattr(command, "commands", None)
        if children:
            for name, child in children.items():
                walk(child, (*path, name))
        else:
            found[path] = command

    walk(root, ())
    return found


VERBS = verbs()


@pytest.mark.parametrize("path", sorted(VERBS), ids=" ".join)
def test_verb_has_help_and_a_runnable_example(path: tuple[str, ...]) -> None:
    command = VERBS[path]
    text = command.help or ""  # type: ignore[attr-defined]
    assert len(text.split("\n")[0]) > 10
    examples = re.findall(r"Example:\s+(toolkit [^\n]+)", text)
    assert examples, "no Example: line"
    words = shlex.split(examples[0])[1:]
    assert tuple(words[: len(path)]) == path
    context = command.make_context(words[0], words[len(path) :], resilient_parsing=False)  # type: ignore[attr-defined]
    assert context.params is not None


@pytest.mark.parametrize("path", sorted(VERBS), ids=" ".join)
def test_every_option_says_what_it_does(path: tuple[str, ...]) -> None:
    for param in VERBS[path].params:  # type: ignore[attr-defined]
        if param.param_type_name == "option" and param.name != "help":
            assert param.help, f"{' '.join(path)} {param.opts} has no help"


def test_modules_are_light_at_the_top() -> None:
    allowed = {"toolkit.cli.app", "toolkit.errors", "toolkit", "toolkit.cli"}
    for path in sorted(CLI.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                root = name.split(".")[0]
                assert root in sys.stdlib_module_names | {"typer"} or name in allowed, (
                    f"{path.name} imports {name} at its top"
                )


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "toolkit", *words], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("replay", "nothing.parquet", "--out", "x"), 1, "nothing.parquet"),
        (("reply",), 2, "replay"),
        (("replay", "--undrlying", "NIFTY"), 2, "--underlying"),
        (("import", "udiff", "nothing.zip", "--to", "x"), 1, "nothing.zip"),
        (("bench", "nothing"), 1, "nothing"),
    ],
)
def test_a_wrong_command_gets_one_clear_line(words: tuple[str, ...], code: int, says: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "toolkit", *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().split("\n")) == 1, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = run("--debug", "replay", str(tmp_path / "nothing.parquet"))
    assert "Traceback" in done.stderr


def test_the_type_of_a_command_is_typer() -> None:
    assert isinstance(app, typer.Typer)
