"""`serve`: one service in this process, on its port, until a signal says to stop."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from energy_tracker.cli.few_heaps import keep_few_heaps
from energy_tracker.cli.light_imports import leave_out_what_is_unused
from energy_tracker.cli.output import Output
from energy_tracker.cli.running import run

if TYPE_CHECKING:
    from energy_tracker.settings import Settings

log = logging.getLogger(__name__)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    context: typer.Context,
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="user, device, ingestion, usage, alert or insight.")
    ],
) -> None:
    """Start one service, for a system in several processes; Ctrl-C or SIGTERM stops it.

    Its backends and the other services are named by settings and need not be there yet: until they answer,
    /actuator/health says what it waits for.
    """

    async def command(settings: "Settings", _: Output) -> None:
        await _serve(_known(service), settings)

    run(context, command)


def _known(service: str) -> str:
    from energy_tracker.wiring.modes import SERVICES

    if service in SERVICES:
        return service
    known = f"{', '.join(SERVICES[:-1])} or {SERVICES[-1]}"
    if service == "console":
        message = f"there is no web console in this version; it is one of {known}"
    else:
        message = f"{service!r} is no service; it is one of {known}"
    raise typer.BadParameter(message, param_hint="SERVICE")


async def _serve(service: str, settings: "Settings") -> None:
    """Serve until a signal says to stop, or the service fails."""
    keep_few_heaps()
    leave_out_what_is_unused()
    from energy_tracker.cli.stopping import log_to_stderr, stop_on_signals, until_stopped
    from energy_tracker.kit.clock import SystemClock
    from energy_tracker.wiring.serving_alone import serving_alone

    stopping = stop_on_signals()
    log_to_stderr(settings.log_level.upper())
    async with serving_alone(service, settings=settings, clock=SystemClock()) as running:
        log.info("%s-service listens at %s", service, running.url)
        await until_stopped(stopping, [running.until_it_fails()])
        log.info("%s-service is stopping", service)
    log.info("%s-service has stopped", service)
