"""The adviser on a real Ollama with a small real model: what it says is nonsense, so only the path is asked about."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest
from tests.support.homes import NOW, FixedClock, Home, device, facts_of, golden_home, user

from energy_tracker.services.insight.adapters.ollama import CONTEXT_TOKENS, OllamaAdviser
from energy_tracker.services.insight.adapters.rules import RuleAdviser
from energy_tracker.services.insight.model.advice import Purpose
from energy_tracker.services.insight.model.facts import FactTable
from energy_tracker.services.insight.model.lock import AnswerRejected
from energy_tracker.services.insight.ports import AdviserUnavailable, Question
from energy_tracker.services.insight.service.counsel import (
    RETRY_UNAVAILABLE_AFTER_S,
    AdviceDesk,
    AdviceLimits,
    Counsel,
)

pytestmark = pytest.mark.servers("ENERGY_TEST_OLLAMA", "ENERGY_TEST_OLLAMA_MODEL")

PATIENCE_S = 120.0
DEADLINE_S = 10.0
SMALL = Home(user=user(), profiles={1: lambda _: 0.3}, devices=(device(1),))


def question(home: Home = SMALL, purpose: Purpose = Purpose.OVERVIEW) -> Question:
    return Question(purpose, facts_of(home, purpose, days=10))


@asynccontextmanager
async def an_adviser(model: str | None = None) -> AsyncIterator[OllamaAdviser]:
    name = model or os.environ["ENERGY_TEST_OLLAMA_MODEL"]
    async with httpx.AsyncClient(trust_env=False) as http:
        yield OllamaAdviser(http, os.environ["ENERGY_TEST_OLLAMA"], name)


@asynccontextmanager
async def a_desk(adviser: OllamaAdviser, *, deadline_s: float = DEADLINE_S) -> AsyncIterator[AdviceDesk]:
    limits = AdviceLimits(deadline_s=deadline_s)
    desk = AdviceDesk(rules=RuleAdviser(), model=adviser, clock=FixedClock(NOW), limits=limits)
    try:
        yield desk
    finally:
        await desk.aclose()


def assert_only_facts(counsel: Counsel, table: FactTable) -> None:
    """Every number that a tip shows is the value of one of the facts, and no mark of a citation is left."""
    values = {fact.value for fact in table.facts}
    for tip in counsel.tips:
        assert not set("{}<>") & set(tip.text)
        shown = tip.text.replace(":00", "")
        for subject in table.subjects:
            shown = shown.replace(subject.name, " ")
        assert {float(number) for number in re.findall(r"\d+(?:\.\d+)?", shown)} <= values


async def test_a_real_model_answers_in_the_form_it_was_asked_for_in_a_context_that_was_set():
    async with an_adviser() as adviser:
        try:
            async with asyncio.timeout(PATIENCE_S):
                tips = await adviser.propose(question())
        except AnswerRejected:
            tips = ()  # it rambled to the limit; that it answered at all is what counts here
        known, loaded = [
            (await adviser.http.get(f"{adviser.base_url}/api/{call}")).json()["models"] for call in ("tags", "ps")
        ]
    assert all(tip.facts for tip in tips)
    # What is loaded may go by the name of a copy of the same model.
    mine = {each["digest"] for each in known if adviser.model in {each["name"], each["name"].partition(":")[0]}}
    lengths = {each["context_length"] for each in loaded if each["digest"] in mine}
    assert lengths == {CONTEXT_TOKENS}


async def test_what_reaches_the_user_holds_only_facts_whoever_worded_it():
    asked = question()
    async with an_adviser() as adviser, a_desk(adviser) as desk:
        began_s = time.monotonic()
        counsel = await desk.advise(asked)
        assert time.monotonic() - began_s < DEADLINE_S + 2
    assert counsel.adviser in {adviser.name, "rules"}
    assert counsel.tips
    assert_only_facts(counsel, asked.table)


async def test_the_deadline_holds_and_the_server_is_free_again_after_it():
    asked = question(golden_home(), Purpose.SAVING_TIPS)
    async with an_adviser() as adviser, a_desk(adviser, deadline_s=0.5) as desk:
        began_s = time.monotonic()
        counsel = await desk.advise(asked)
        assert time.monotonic() - began_s < 2
        assert counsel.adviser == "rules"
        assert_only_facts(counsel, asked.table)
        assert desk.details()["lastError"] == "the model took longer than 0.5 s"
        options = {"num_predict": 1, "num_ctx": CONTEXT_TOKENS}
        body = {"model": adviser.model, "prompt": "Hello", "stream": False, "options": options}
        answer = await adviser.http.post(f"{adviser.base_url}/api/generate", json=body, timeout=PATIENCE_S)
        assert answer.status_code == 200


async def test_a_model_that_is_not_there_yet_is_said_at_once_and_asked_once_it_is():
    name = f"late-{uuid4().hex[:12]}"
    async with an_adviser(name) as adviser, a_desk(adviser) as desk:
        with pytest.raises(AdviserUnavailable, match=f"404: model '{name}' not found"):
            await adviser.propose(question())
        began_s = time.monotonic()
        assert (await desk.advise(question())).adviser == "rules"
        assert time.monotonic() - began_s < 2
        assert name in str(desk.details()["lastError"])
        copied = {"source": os.environ["ENERGY_TEST_OLLAMA_MODEL"], "destination": name}
        (await adviser.http.post(f"{adviser.base_url}/api/copy", json=copied)).raise_for_status()
        try:
            await desk._clock.sleep(RETRY_UNAVAILABLE_AFTER_S)
            await desk.advise(question())
        finally:
            await adviser.http.request("DELETE", f"{adviser.base_url}/api/delete", json={"model": name})
        assert "not found" not in str(desk.details())
