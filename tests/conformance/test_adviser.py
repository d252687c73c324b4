"""What every adviser keeps to: rules, and a model behind Ollama's interface."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from tests.support import ollama
from tests.support.homes import Home, device, facts_of, golden_home, user

from energy_tracker.services.insight.adapters.ollama import PROMPT_CHARACTERS, OllamaAdviser, user_prompt
from energy_tracker.services.insight.adapters.rules import RuleAdviser
from energy_tracker.services.insight.model.advice import Purpose, render
from energy_tracker.services.insight.model.facts import FactTable
from energy_tracker.services.insight.model.lock import check_tips
from energy_tracker.services.insight.ports import Adviser, AdviserUnavailable, Question

HOMES = {
    "golden": golden_home(),
    "one steady meter": Home(user=user(), profiles={1: lambda _: 0.3}, devices=(device(1),)),
    "nothing measured": Home(user=user(), profiles={1: lambda _: None}, devices=(device(1),)),
    "poorly measured": Home(
        user=user(), profiles={1: lambda _: 0.3}, devices=(device(1),), coverage=lambda _device, _start: 0.4
    ),
    "no devices": Home(user=user(), profiles={}, devices=()),
    "many devices": Home(
        user=user(),
        profiles={number: lambda _: 0.05 for number in range(1, 40)},
        devices=tuple(device(number) for number in range(1, 40)),
    ),
}


def question(home: Home, purpose: Purpose) -> Question:
    return Question(purpose, facts_of(home, purpose, days=10))


def _obedient(body: dict) -> AsyncIterator[bytes]:
    """A model that tells the first finding, with an id and an action that it was given."""
    tip = body["format"]["properties"]["tips"]["items"]["properties"]
    fact = tip["facts"]["items"]["enum"][0]
    action = tip["action"]["enum"][0]
    text = f"This is what was found in your home: {{{fact}}}."
    return ollama.tells([{"action": action, "text": text, "facts": [fact]}])(body)


@asynccontextmanager
async def rules() -> AsyncIterator[Adviser]:
    yield RuleAdviser()


@asynccontextmanager
async def model() -> AsyncIterator[Adviser]:
    async with ollama.FakeOllama([_obedient]) as server, httpx.AsyncClient(trust_env=False) as http:
        yield OllamaAdviser(http, server.url)


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("adviser", [rules, model])
async def test_what_it_proposes_passes_the_lock_and_can_be_rendered(adviser, home, purpose):
    asked = question(HOMES[home], purpose)
    async with adviser() as who:
        first = await who.propose(asked)
        assert await who.propose(asked) == first
    checked = check_tips(first, asked.table)
    assert [render(tip, asked.table).facts for tip in checked] == [tip.facts for tip in checked]
    assert all("{" not in render(tip, asked.table).text for tip in checked)


@pytest.mark.parametrize("adviser", [rules, model])
async def test_it_has_a_name(adviser):
    async with adviser() as who:
        assert who.name in {"rules", "ollama:deepseek-r1"}


async def test_a_prompt_never_outgrows_the_context():
    many = question(HOMES["many devices"], Purpose.SAVING_TIPS)
    longer = FactTable.of(many.table.findings * 20, many.table.subjects)
    prompt = user_prompt(Question(Purpose.SAVING_TIPS, longer, objection="x" * 500))
    assert len(prompt) < PROMPT_CHARACTERS
    assert json.loads(prompt.splitlines()[-1])["facts"]


async def test_a_dead_server_is_unavailable():
    async with httpx.AsyncClient(trust_env=False) as http:
        async with ollama.FakeOllama([_obedient]) as server:
            dead = OllamaAdviser(http, server.url)
        with pytest.raises(AdviserUnavailable):
            await dead.propose(question(HOMES["golden"], Purpose.OVERVIEW))
