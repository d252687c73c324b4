"""The command line: `energy-tracker COMMAND`. Everything beyond its own words is imported when a command runs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol

import typer

from energy_tracker import __version__
from energy_tracker.cli.output import AsJson, Output
from energy_tracker.cli.running import Globals

EPILOG = (
    "Exit codes: 0 done · 1 failed, or problems were found · 2 wrong command line · "
    "3 a service or the data folder cannot be used now · 4 wrong setting · 130 interrupted."
)


class Group(Protocol):
    """A module with commands."""

    def add_to(self, app: typer.Typer, /) -> None:
        """Add the commands."""


def build_app(groups: Sequence[Group] | None = None) -> typer.Typer:
    """Return the whole command line, or that of some groups of commands."""
    app = typer.Typer(
        name="energy-tracker",
        help="Collects the energy use of devices, loses no reading, invents no number, explains what to do about it.",
        epilog=EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_globals)
    for group in _all_groups() if groups is None else groups:
        group.add_to(app)
    app.command("version")(_version)
    return app


def main() -> None:
    """Run the command that the arguments name; a service has none of the other commands in memory."""
    if sys.argv[1:2] == ["serve"]:
        from energy_tracker.cli import serve_command

        build_app([serve_command])()
    build_app()()


def _all_groups() -> Sequence[Group]:
    from energy_tracker.cli import (
        advice_commands,
        alert_commands,
        backup_commands,
        dead_letter_commands,
        detect_command,
        directory_commands,
        doctor_command,
        export_command,
        forecast_command,
        import_command,
        move_commands,
        run_commands,
        serve_command,
        simulation_commands,
        usage_commands,
    )

    return (
        run_commands,
        serve_command,
        directory_commands,
        import_command,
        export_command,
        usage_commands,
        forecast_command,
        detect_command,
        alert_commands,
        dead_letter_commands,
        advice_commands,
        simulation_commands,
        backup_commands,
        move_commands,
        doctor_command,
    )


def _globals(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="The data folder (otherwise ENERGY_TRACKER_HOME, or the user's data directory)."),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="The demo's data folder, which `demo` uses, where no other is named.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="ADDRESS",
            help="Where services run that are not on the data folder: http://HOST, each at its port; {service} stands "
            "for a service's name (otherwise ENERGY_TRACKER_SERVICES_AT).",
        ),
    ] = None,
) -> None:
    context.obj = Globals(home=home, demo=demo, at=at)


def _version(as_json: AsJson = False) -> None:
    """Print the version."""
    output = Output(as_json)
    output.document({"version": __version__})
    output.line(__version__)
