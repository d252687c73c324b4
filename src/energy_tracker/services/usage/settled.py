"""Asking the store only once it has all that the caches have followed already."""

from collections.abc import Awaitable, Callable

Settled = Callable[[], Awaitable[None]]
"""Waits until the store has every turn that was prepared so far."""


async def at_once() -> None:
    """Wait for nothing: each turn is stored before the next one is prepared."""
