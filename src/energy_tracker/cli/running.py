"""How every command runs: settings read, one event loop, expected errors as sentences and exit codes."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from energy_tracker.cli import exits
from energy_tracker.cli.output import Output
from energy_tracker.kit.problems import Problem, TemporarilyUnavailable

if TYPE_CHECKING:
    from energy_tracker.settings import Settings

_SERVER_ERRORS = 500


@dataclass(frozen=True, slots=True)
class Globals:
    """What is given before the command's name."""

    home: Path | None = None
    demo: bool = False
    at: str | None = None


class CommandFailed(Exception):
    """The command has printed what there is to say and ends with `code`."""

    def __init__(self, code: int = exits.FAILED) -> None:
        super().__init__(code)
        self.code = code


def read_settings(context: typer.Context) -> "Settings":
    """Return the settings of the environment, with `--home`, `--at` or `--demo` on top.

    Raises `InvalidConfiguration`.
    """
    from energy_tracker.settings import load_settings

    environ = dict(os.environ)
    given = context.find_object(Globals) or Globals()
    if given.home is not None:
        environ["ENERGY_TRACKER_HOME"] = str(given.home)
    if given.at is not None:
        environ["ENERGY_TRACKER_SERVICES_AT"] = given.at
    settings = load_settings(environ)
    if given.demo and not environ.get("ENERGY_TRACKER_HOME"):
        beside = settings.home.with_name(f"{settings.home.name}-demo")
        return settings.model_copy(update={"home": beside})
    return settings


def run(
    context: typer.Context, command: Callable[["Settings", Output], Awaitable[None]], *, as_json: bool = False
) -> None:
    """Run a command to its end; leave with an exit code of `exits` where it fails."""
    output = Output(as_json)
    guard(lambda: _configured(context, command, output), output)


def _configured(
    context: typer.Context, command: Callable[["Settings", Output], Awaitable[None]], output: Output
) -> None:
    """Run a command with its settings. Raises `CommandFailed`, having said why, where they cannot be used."""
    from energy_tracker.settings import InvalidConfiguration

    try:
        _run_loop(command(read_settings(context), output))
    except InvalidConfiguration as error:  # also of a command that cannot do with settings that are right in themselves
        output.note("The configuration cannot be used:")
        for wrong in error.errors:
            output.note(f"  {wrong.name}: {wrong.detail}")
        output.document({"errors": [wrong._asdict() for wrong in error.errors]})
        raise CommandFailed(exits.CONFIGURATION) from None


def guard(action: Callable[[], None], output: Output) -> None:
    """Call `action`; turn expected errors into sentences and an exit code."""
    try:
        action()
    except CommandFailed as failed:
        raise typer.Exit(failed.code) from None
    except TemporarilyUnavailable as problem:
        output.problem(problem)
        raise typer.Exit(exits.UNREACHABLE) from None
    except Problem as problem:
        output.problem(problem)
        raise typer.Exit(exits.UNREACHABLE if problem.status >= _SERVER_ERRORS else exits.FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(exits.INTERRUPTED) from None
    except BrokenPipeError:  # `… | head`: whoever read has had enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - kept open to the end, for the flush at exit
        raise typer.Exit(exits.OK) from None
    except OSError as error:
        output.note(f"{error.strerror or type(error).__name__}: {error.filename or error}")
        raise typer.Exit(exits.FAILED) from None


def _run_loop(awaitable: Awaitable[None]) -> None:
    import uvloop

    async def awaited() -> None:
        await awaitable

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(awaited())
