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
RETRY_SLOW_AFTER_S = 60.0
"""After a time-out, doubled for each that follows another, up to `RETRY_REJECTED_AFTER_S`: each costs a whole wait."""

MAX_DOUBLINGS = 10


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


@dataclass(slots=True)
class ModelState:
    """What is known of the model in this process: it is left alone, for all questions, until `resume_at_ms`."""

    time_outs: int = 0
    resume_at_ms: int = 0
    last_error: str | None = None


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
        self._state = ModelState()

    @property
    def adviser_name(self) -> str:
        """Who is asked first."""
        return (self._model or self._rules).name

    def details(self) -> dict[str, object]:
        """Return who is asked first and, where the last question put to it failed, why: facts for the health."""
        known: dict[str, object] = {"adviser": self.adviser_name}
        if self._state.last_error is not None:
            known |= {"lastError": f"the model {self._state.last_error}", "answering": self._rules.name}
        return known

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
        if task is None and (self._is_left_alone() or len(self._under_way) >= MOST_UNDER_WAY):
            return None
        if task is None:
            task = asyncio.create_task(self._consult(key, question), name=f"advice {key[0]}")
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # A caller that goes away leaves the question to the others that wait for it.
        return await asyncio.shield(task)

    async def _consult(self, key: tuple[str, str], question: Question) -> Counsel | None:
        assert self._model is not None  # noqa: S101 - asked only where there is one
        loop = asyncio.get_running_loop()
        turn_began_s: float | None = None
        try:
            async with asyncio.timeout(self._limits.deadline_s), self._turn:
                if self._is_left_alone():  # it failed while this question waited for its turn
                    return None
                turn_began_s = loop.time()
                counsel = await _ask(self._model, question)
        except AnswerRejected as rejected:
            self._note(f"was rejected: {rejected}", time_outs=0, pause_s=0)
            return self._remember(key, None, RETRY_REJECTED_AFTER_S)
        except AdviserUnavailable as unavailable:
            self._note(f"is not available: {unavailable}", time_outs=0, pause_s=RETRY_UNAVAILABLE_AFTER_S)
            return None
        except TimeoutError:
            self._note_time_out(0.0 if turn_began_s is None else loop.time() - turn_began_s)
            return None
        self._state = ModelState()
        return self._remember(key, counsel, None)

    def _is_left_alone(self) -> bool:
        return self._clock.now_ms() < self._state.resume_at_ms

    def _note_time_out(self, turn_s: float) -> None:
        """Leave a slow model alone; a question that spent its time waiting for its turn says nothing of the model."""
        limit_s = self._limits.deadline_s
        if turn_s < limit_s / 2:
            log.warning("a question waited for the model longer than %g s; the rules answer", limit_s)
            return
        time_outs = self._state.time_outs + 1
        pause_s = min(RETRY_SLOW_AFTER_S * 2 ** min(time_outs - 1, MAX_DOUBLINGS), RETRY_REJECTED_AFTER_S)
        self._note(f"took longer than {limit_s:g} s", time_outs=time_outs, pause_s=pause_s)

    def _note(self, why: str, *, time_outs: int, pause_s: float) -> None:
        log.warning("the model %s; the rules answer", why)
        self._state = ModelState(time_outs, self._clock.now_ms() + round(pause_s * 1000), why)

    def _remember(self, key: tuple[str, str], counsel: Counsel | None, for_s: float | None) -> Counsel | None:
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
