"""Transactions that are run as a whole: to their end when their task is cancelled, and again when they were undone.

Two transactions of a server may each wait for what the other has locked; the server then undoes one of them, and says
that it is to be run again. A function decorated here is one transaction from its first line to its last, reads what it
needs anew each time it is run, and changes nothing outside the database before it returns.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from energy_tracker.storage.sql_problems import TransactionUndone
from energy_tracker.storage.uninterrupted import uninterrupted

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

ATTEMPTS = 10
REPEAT_FOR_S = 5.0
"""After this long a transaction is not begun again: the caller has the problem."""

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.25


def repeated(
    transaction: Callable[Parameters, Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """Run a transaction again when it raises `TransactionUndone`, after a pause that grows and differs each time.

    After `ATTEMPTS`, or `REPEAT_FOR_S`, that problem is raised: it is a 503 to come back after.
    """

    @wraps(transaction)
    async def until_done(*arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
        last_s = time.monotonic() + REPEAT_FOR_S
        for attempt in range(ATTEMPTS - 1):
            try:
                return await transaction(*arguments, **named)
            except TransactionUndone:
                if time.monotonic() >= last_s:
                    raise
            longest_s = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
            await asyncio.sleep(random.uniform(0, longest_s))  # noqa: S311 - spreads processes, hides nothing
        return await transaction(*arguments, **named)

    return until_done


def whole_transaction(
    transaction: Callable[Parameters, Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """Let a transaction come to its end when its task is cancelled, and run it again when it was undone."""
    return uninterrupted(repeated(transaction))
