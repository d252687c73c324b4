"""Asking advisers: one question at a time, at most once for the same facts, and never past the deadline."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, replace

from energy_tracker.kit.clock import Clock
from energy_tracker.services.insight.model.advice import Tip, render
from energy_tracker.services.insight.model.lock import AnswerRejected, check_tips
from energy_tracker.services.insight.ports import Adviser, AdviserUnavailable, Question

log = logging.getLogger(__name__)

ATTEMPTS = 2
"""A model is told once why its answer was rejected; then the rules speak."""

MOST_UNDER_WAY = 32
"""More questions than this do not queue for the model, which takes one at a time: the rules answer them."""

REMEMBERED_ANSWERS = 256
RETRY_REJECTED_AFTER_S = 600.0
RETRY_UNAVAILABLE_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class Counsel:
    """Checked advice and the name of the adviser that gave it."""

    adviser: str
    tips: tuple[Tip, ...]


@dataclass(frozen=True, slots=True)
class _Remembered:
    counsel: Counsel | None
    """None: the model failed on these facts, and the rules answer until `until_ms`."""
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class AdviceLimits:
    """`deadline_s` is the longest that an answer waits for the model, its queue included."""

    deadline_s: float = 60.0


class AdviceDesk:
    """Asks the model where there is one, and the rules where it fails. Every answer passes the number lock."""

    def __init__(self, *, rules: Adviser, model: Adviser | None, clock: Clock, limits: AdviceLimits) -> None:
        self._rules = rules
        self._model = model
        self._clock = clock
        self._limits = limits
        self._turn = asyncio.Semaphore(1)
        self._remembered: OrderedDict[tuple[str, str], _Remembered] = OrderedDict()
        self._under_way: dict[tuple[str, str], asyncio.Task[Counsel | None]] = {}

    @property
    def adviser_name(self) -> str:
        """Who is asked first."""
        return (self._model or self._rules).name

    async def advise(self, question: Question) -> Counsel:
        """Return checked advice on the facts of a question; never fails where the rules can speak."""
        counsel = await self._ask_model(question) if self._model is not None else None
        return counsel or await _ask(self._rules, question)

    async def aclose(self) -> None:
        """Give up the questions under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_model(self, question: Question) -> Counsel | None:
        key = (question.purpose.value, question.table.digest())
        known = self._remembered.get(key)
        if known is not None and (known.until_ms is None or self._clock.now_ms() < known.until_ms):
            self._remembered.move_to_end(key)
            return known.counsel
        task = self._under_way.get(key)
        if task is None and len(self._under_way) >= MOST_UNDER_WAY:
            return None
        if task is None:
            task = asyncio.create_task(self._consult(key, question), name=f"advice {key[0]}")
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # A caller that goes away leaves the question to the others that wait for it.
        return await asyncio.shield(task)

    async def _consult(self, key: tuple[str, str], question: Question) -> Counsel | None:
        assert self._model is not None  # noqa: S101 - asked only where there is one
        try:
            async with asyncio.timeout(self._limits.deadline_s), self._turn:
                counsel = await _ask(self._model, question)
        except AnswerRejected as rejected:
            return self._remember(key, None, f"was rejected: {rejected}", RETRY_REJECTED_AFTER_S)
        except AdviserUnavailable as unavailable:
            return self._remember(key, None, f"is not available: {unavailable}", RETRY_UNAVAILABLE_AFTER_S)
        except TimeoutError:
            return self._remember(
                key, None, f"took longer than {self._limits.deadline_s:g} s", RETRY_UNAVAILABLE_AFTER_S
            )
        return self._remember(key, counsel, None, None)

    def _remember(
        self, key: tuple[str, str], counsel: Counsel | None, why: str | None, for_s: float | None
    ) -> Counsel | None:
        if why is not None:
            log.warning("the model %s; the rules answer", why)
        until_ms = None if for_s is None else self._clock.now_ms() + round(for_s * 1000)
        self._remembered[key] = _Remembered(counsel, until_ms)
        self._remembered.move_to_end(key)
        while len(self._remembered) > REMEMBERED_ANSWERS:
            self._remembered.popitem(last=False)
        return counsel


async def _ask(adviser: Adviser, question: Question) -> Counsel:
    """Ask until an answer passes the lock, `ATTEMPTS` times at most. Raises `AnswerRejected`, `AdviserUnavailable`."""
    asked = question
    for attempt in range(1, ATTEMPTS + 1):
        try:
            tips = check_tips(await adviser.propose(asked), question.table)
        except AnswerRejected as rejected:
            if attempt == ATTEMPTS:
                raise
            asked = replace(question, objection=str(rejected))
        else:
            return Counsel(adviser.name, tuple(render(tip, question.table) for tip in tips))
    raise AssertionError("unreachable: the last attempt returns or raises")
