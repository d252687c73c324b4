"""The desk that asks advisers: what a model that is down, hangs or is slow costs those who ask."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from tests.support import ollama
from tests.support.homes import NOW, FixedClock, Home, device, facts_of, user

from energy_tracker.services.insight.adapters.ollama import OllamaAdviser
from energy_tracker.services.insight.adapters.rules import RuleAdviser
from energy_tracker.services.insight.model.advice import Purpose
from energy_tracker.services.insight.ports import Question
from energy_tracker.services.insight.service.counsel import (
    RETRY_REJECTED_AFTER_S,
    RETRY_SLOW_AFTER_S,
    RETRY_UNAVAILABLE_AFTER_S,
    AdviceDesk,
    AdviceLimits,
)

GOOD = {"action": "inform", "text": "In the last {F2} your home drew {F1}, and that is all I can say.", "facts": ["F1"]}
MODEL = "ollama:deepseek-r1"


def question(number: int) -> Question:
    """Return a question whose facts are those of no other number."""
    home = Home(user=user(), profiles={1: lambda _: 0.2 + number / 100}, devices=(device(1),))
    return Question(Purpose.OVERVIEW, facts_of(home, Purpose.OVERVIEW, days=3))


@asynccontextmanager
async def a_desk(url: str, *, deadline_s: float = 30.0) -> AsyncIterator[tuple[AdviceDesk, FixedClock]]:
    clock = FixedClock(NOW)
    async with httpx.AsyncClient(trust_env=False) as http:
        limits = AdviceLimits(deadline_s=deadline_s)
        desk = AdviceDesk(rules=RuleAdviser(), model=OllamaAdviser(http, url), clock=clock, limits=limits)
        try:
            yield desk, clock
        finally:
            await desk.aclose()


async def test_a_server_that_hangs_costs_all_who_ask_less_than_two_seconds_together():
    async with ollama.FakeOllama([ollama.tells([GOOD])], awake=False) as server, a_desk(server.url) as (desk, _):
        began_s = time.monotonic()
        answers = await asyncio.gather(*(desk.advise(question(number)) for number in range(8)))
        took_s = time.monotonic() - began_s
        assert {answer.adviser for answer in answers} == {"rules"}
        assert took_s < 2
        assert server.connections == 1, "the others saw that it does not answer"
        assert server.asked == []
        assert desk.details() == {
            "adviser": MODEL,
            "answering": "rules",
            "lastError": f"the model is not available: {server.url} does not answer within 1.5 s",
        }


async def test_a_model_that_is_pulled_meanwhile_is_asked_then():
    missing = ollama.fails(404, b'{"error":"model \'deepseek-r1\' not found"}')
    async with (
        ollama.FakeOllama([missing, ollama.tells([GOOD])]) as server,
        a_desk(server.url) as (desk, clock),
    ):
        for number in range(3):
            assert (await desk.advise(question(number))).adviser == "rules"
        assert len(server.asked) == 1
        assert str(desk.details()["lastError"]).endswith("answered 404: model 'deepseek-r1' not found")
        await clock.sleep(RETRY_UNAVAILABLE_AFTER_S)
        assert (await desk.advise(question(0))).adviser == MODEL
        assert desk.details() == {"adviser": MODEL}


@pytest.mark.parametrize(
    "body", [b"", b"<html>\x1b[31m</html>", b'{"error":' + b'"x' * 5000, b'{"error":"a\\u001bb\\nc"}']
)
async def test_what_a_server_says_about_its_error_is_harmless(body: bytes):
    async with ollama.FakeOllama([ollama.fails(500, body)]) as server, a_desk(server.url) as (desk, _):
        assert (await desk.advise(question(1))).adviser == "rules"
        said = str(desk.details()["lastError"])
    assert "answered 500" in said
    assert said.isprintable()
    assert len(said) < 400


async def test_an_error_whose_words_never_come_is_an_error_all_the_same():
    forever = asyncio.Event()

    async def answer(_: object) -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 503 Wrong\r\nContent-Length: 90\r\n\r\n"
        await forever.wait()

    async with ollama.FakeOllama([answer]) as server, a_desk(server.url) as (desk, _):
        assert (await desk.advise(question(1))).adviser == "rules"
        assert str(desk.details()["lastError"]).endswith("answered 503")


async def test_a_slow_model_is_left_alone_for_longer_each_time():
    forever = asyncio.Event()
    async with (
        ollama.FakeOllama([ollama.hangs(forever)]) as server,
        a_desk(server.url, deadline_s=0.3) as (desk, clock),
    ):
        for time_outs in range(1, 7):
            assert (await desk.advise(question(1))).adviser == "rules"
            assert len(server.asked) == time_outs
            assert desk.details()["lastError"] == "the model took longer than 0.3 s"
            pause_s = min(RETRY_SLOW_AFTER_S * 2 ** (time_outs - 1), RETRY_REJECTED_AFTER_S)
            await clock.sleep(pause_s - 1)
            await desk.advise(question(2))
            assert len(server.asked) == time_outs
            await clock.sleep(1)


async def test_a_question_that_waited_for_its_turn_in_vain_says_nothing_of_the_model():
    forever = asyncio.Event()
    async with (
        ollama.FakeOllama([ollama.hangs(forever), ollama.tells([GOOD])]) as server,
        a_desk(server.url, deadline_s=0.3) as (desk, clock),
    ):
        answers = await asyncio.gather(*(desk.advise(question(number)) for number in range(4)))
        assert {answer.adviser for answer in answers} == {"rules"}
        await clock.sleep(RETRY_SLOW_AFTER_S)  # as after one time-out, not as after four
        assert (await desk.advise(question(9))).adviser == MODEL
        assert len(server.asked) == 2


async def test_thoughts_in_front_of_the_answer_are_not_shown():
    answer = "<think>The fridge takes 900 %.</think>" + json.dumps({"tips": [GOOD]})
    async with ollama.FakeOllama([ollama.says(answer)]) as server, a_desk(server.url) as (desk, _):
        counsel = await desk.advise(question(1))
    assert counsel.adviser == MODEL
    assert [tip.text for tip in counsel.tips if "900" in tip.text or "think" in tip.text] == []
