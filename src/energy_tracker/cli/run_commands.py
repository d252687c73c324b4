"""`up` and `demo`: all six services in this process, on their ports, until Ctrl-C."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import typer

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

    async def command(settings: "Settings", _: Output) -> None:
        await _serve(settings, with_demo=False)

    run(context, command)


def demo(context: typer.Context) -> None:
    """Start all six services with a simulated home: two weeks of history, then live readings; Ctrl-C stops it.

    It has a data folder of its own beside the real one, unless --home or ENERGY_TRACKER_HOME names one.
    """
    given = context.find_object(Globals)
    named = (given is not None and given.home is not None) or bool(os.environ.get("ENERGY_TRACKER_HOME"))

    async def command(settings: "Settings", _: Output) -> None:
        if not named:
            beside = settings.home.with_name(f"{settings.home.name}-demo")
            settings = settings.model_copy(update={"home": beside})
        await _serve(settings, with_demo=True)

    run(context, command)


async def _serve(settings: "Settings", *, with_demo: bool) -> None:
    """Serve until a signal says to stop, or something that runs beside it fails."""
    import httpx

    from energy_tracker.cli import demo as demo_home
    from energy_tracker.cli.access import clients_over
    from energy_tracker.cli.live import show_live
    from energy_tracker.kit.clock import SystemClock
    from energy_tracker.wiring.serving import serving

    _log_to_stderr(settings.log_level)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if with_demo:
        demo_home.begin_folder(settings.home)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving(settings=settings, clock=clock))
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        clients = clients_over(http, running.urls, clock, in_process=False)
        title = f"Energy Tracker {'demo ' if with_demo else ''}on {settings.home}"
        beside: list[Coroutine[Any, Any, None]] = [show_live(clients, running.urls, title=title)]
        if with_demo:
            beside.append(_live_demo(clients, settings, clock))
        await _until_stopped(stopping, beside)


async def _live_demo(clients: Any, settings: "Settings", clock: Any) -> None:
    from energy_tracker.cli.demo import Demo

    home = await Demo.open(clients, settings.home, clock)
    sent = await home.catch_up()
    if not sys.stdout.isatty():
        sys.stdout.write(f"{sent:,} readings of history; live from here on.\n")
        sys.stdout.flush()
    await home.live()


async def _until_stopped(stopping: asyncio.Event, work: list[Coroutine[Any, Any, None]]) -> None:
    """Run work until the event is set; then end it. What fails meanwhile is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    stop = asyncio.create_task(stopping.wait())
    try:
        done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stop}:
            task.result()
    finally:
        for task in (stop, *tasks):
            task.cancel()
        for task in (stop, *tasks):
            with suppress(asyncio.CancelledError):
                await task


def _log_to_stderr(level: str) -> None:
    on_terminal = sys.stdout.isatty()
    logging.basicConfig(
        level="WARNING" if on_terminal and level == "info" else level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
