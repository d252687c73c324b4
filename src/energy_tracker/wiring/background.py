"""Work that runs beside a service for as long as it is up."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress


def keep_running(stack: AsyncExitStack, work: Coroutine[None, None, None], *, name: str) -> None:
    """Run work until the stack is left; then cancel it and wait for its end. `name` is what debuggers show."""
    task = asyncio.create_task(work, name=name)

    async def stop() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stop)
