"""What the commands that serve share: the log on standard error, and an end when a signal asks for it."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


def log_to_stderr(level: str) -> None:
    """Write the log to standard error, from a level such as `INFO` on."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in ("httpx", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGINT (Ctrl-C) and SIGTERM set."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def until_stopped(stopping: asyncio.Event, work: list[Coroutine[Any, Any, None]]) -> None:
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
