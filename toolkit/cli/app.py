"""The root of the command line: global options, exit codes, one-line errors."""

from __future__ import annotations

import sys
import threading
import warnings
from _thread import interrupt_main
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit import __version__
from toolkit.errors import ToolkitError

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["app", "run", "strike_again"]

_CTRL_C = 130
_AGAIN_S = 0.05

app = typer.Typer(
    name="toolkit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Research in a notebook and execution on the exchange, for Indian options.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Research in a notebook and execution on the exchange, for Indian options."""


def run(argv: list[str]) -> int:
    """Run ``argv`` and return the exit code: 0 done, 1 failed, 2 usage, 3 refused, 4 unknown."""
    debug = "--debug" in argv
    warnings.showwarning = _note
    argv = [a for a in argv if a != "--debug"]
    try:
        _register()
        code = app(args=argv, standalone_mode=False)
    except ToolkitError as error:
        if debug:
            raise
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _CTRL_C
    except BrokenPipeError:
        return 1
    except OSError as error:
        if debug:
            raise
        return _say(_os_text(error), 1)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):
            return _usage(error, argv)
        if debug:
            raise
        return _say(f"internal error: {type(error).__name__}: {error}; run again with --debug and report it", 1)
    if code == _CTRL_C:  # typer turns Ctrl-C inside a verb into this code, without a word
        return _say("stopped by Ctrl-C; nothing half-written was kept", _CTRL_C)
    return int(code or 0)


def strike_again(told: UnraisableHookArgs) -> None:
    """Raise a Ctrl-C again that was lost: one that strikes in a library's C callback ends there."""
    if told.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(told)
        return
    again = threading.Timer(_AGAIN_S, interrupt_main)
    again.daemon = True
    again.start()


def _note(message: Warning | str, category: type[Warning], *place: object, **more: object) -> None:
    """Show a warning of ours as one line; the libraries' own are for developers and stay out."""
    if category.__module__.startswith("toolkit."):
        print(f"toolkit: note: {' '.join(str(message).split())}", file=sys.stderr)


def _register() -> None:
    from toolkit.cli import groups

    groups.load()


def _say(text: str, code: int) -> int:
    line = " ".join(text.split())
    print(f"toolkit: {line}", file=sys.stderr)
    return code


def _usage(error: Exception, argv: list[str]) -> int:
    if type(error).__name__ == "Abort":
        return _say("stopped", 1)
    if type(error).__name__ == "Exit":
        return int(getattr(error, "exit_code", 0))
    if type(error).__name__ == "NoArgsIsHelpError":
        print(getattr(error, "message", ""))
        return 2
    message = getattr(error, "format_message", lambda: str(error))()
    if type(error).__name__ == "BadParameter":
        message = f"{message.rstrip('.')}{_was(error, argv)}."
    return _say(f"{message} Try 'toolkit --help'.", int(getattr(error, "exit_code", 2)))


def _was(error: Exception, argv: list[str]) -> str:
    """What stood in the place of an option's value; nothing for an argument, whose place is not known."""
    for name in getattr(getattr(error, "param", None), "opts", ()):
        for at, word in enumerate(argv):
            if word.startswith(f"{name}=") or (word == name and at + 1 < len(argv)):
                return f", was {(word.partition('=')[2] if '=' in word else argv[at + 1])!r}"
    return ""


def _os_text(error: OSError) -> str:
    place = f" {error.filename}" if error.filename else ""
    return f"{error.strerror or error}:{place}; check the path, its rights and the free space"
