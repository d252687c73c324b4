"""Transactions that a cancelled task does not abandon half-way.

A driver goes on with a query whose task was cancelled, in a thread or on the wire, while the connection goes back to
the pool: its rows may reach another request, and its thread may outlive the event loop.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def uninterrupted(
    transaction: Callable[Parameters, Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """Let a call come to its end when its task is cancelled, and cancel the task then. For short calls only."""

    @wraps(transaction)
    async def whole(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
        task = asyncio.ensure_future(transaction(*arguments, **named))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.gather(task, return_exceptions=True)
            raise

    return whole
