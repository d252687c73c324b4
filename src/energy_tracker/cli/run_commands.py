"""`up` and `demo`: all six services in this process, on their ports, until Ctrl-C."""

import os
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from energy_tracker.cli.few_heaps import keep_few_heaps
from energy_tracker.cli.output import Output
from energy_tracker.cli.running import Globals, run

if TYPE_CHECKING:
    from energy_tracker.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("demo")(demo)


def up(context: typer.Context) -> None:
    """Start all six services; Ctrl-C stops them."""

    async def command(settings: "Settings", output: Output) -> None:
        await _serve(settings, output, with_demo=context.ensure_object(Globals).demo)

    run(context, command)


def demo(context: typer.Context) -> None:
    """Start all six services with a simulated home: two weeks of history, then live readings; Ctrl-C stops it.

    It has a data folder of its own beside the real one, unless --home or ENERGY_TRACKER_HOME names one.
    """
    context.obj = replace(context.ensure_object(Globals), demo=True)

    async def command(settings: "Settings", output: Output) -> None:
        await _serve(settings, output, with_demo=True)

    run(context, command)


async def _serve(settings: "Settings", output: Output, *, with_demo: bool) -> None:
    """Serve until a signal says to stop, or something that runs beside it fails."""
    keep_few_heaps()
    import httpx

    from energy_tracker.cli import demo as demo_home
    from energy_tracker.cli.access import clients_over
    from energy_tracker.cli.live import Heading, show_live
    from energy_tracker.cli.ports import explained_ports
    from energy_tracker.cli.stopping import log_to_stderr, stop_on_signals, until_stopped
    from energy_tracker.kit.clock import SystemClock
    from energy_tracker.wiring.serving import serving

    calm = sys.stdout.isatty() and settings.log_level == "info"
    log_to_stderr("WARNING" if calm else settings.log_level.upper())
    stopping = stop_on_signals()
    if with_demo:
        demo_home.begin_folder(settings.home)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        with explained_ports(settings):
            running = await stack.enter_async_context(serving(settings=settings, clock=clock))
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        clients = clients_over(http, running.urls, clock, in_process=False)
        history = demo_home.Progress() if with_demo else None
        heading = Heading(
            "Energy Tracker, demo home" if with_demo else "Energy Tracker",
            str(settings.home),
            f"{_program()} {'--demo usage' if with_demo else '--help'}",
            history.sentence if history else str,
        )
        beside: list[Coroutine[Any, Any, None]] = [show_live(clients, running.urls, heading)]
        if history is not None:
            beside.append(_live_demo(clients, settings, clock, history))
        await until_stopped(stopping, beside)
        output.note("Stopping …")
    output.note("Stopped; everything is on disk. The next start goes on from here.")


def _program() -> str:
    """Return how this program was called, as short as it works in the same folder."""
    called = Path(sys.argv[0])
    with suppress(ValueError):
        called = called.absolute().relative_to(Path.cwd())
    on_path = any(Path(folder) == Path(sys.argv[0]).absolute().parent for folder in os.get_exec_path())
    return called.name if on_path else str(called)


async def _live_demo(clients: Any, settings: "Settings", clock: Any, history: Any) -> None:
    from energy_tracker.cli.demo import Demo

    home = await Demo.open(clients, settings.home, clock)
    sent = await home.catch_up(history)
    if not sys.stdout.isatty():
        sys.stdout.write(f"{sent:,} readings of history; live from here on.\n")
        sys.stdout.flush()
    await home.live()
