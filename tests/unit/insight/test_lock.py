"""The number lock: lies never pass, honest answers do."""

import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.advisers import CLAIMS, honest_answer, lying_answers
from tests.support.homes import facts_of, golden_home

from energy_tracker.services.insight.adapters.rules import RuleAdviser
from energy_tracker.services.insight.model.advice import Purpose, render
from energy_tracker.services.insight.model.facts import FactTable
from energy_tracker.services.insight.model.lock import AnswerRejected, check_tips, parse_answer
from energy_tracker.services.insight.ports import Question


def table_of(purpose: Purpose = Purpose.SAVING_TIPS) -> FactTable:
    return facts_of(golden_home(), purpose)


TABLE = table_of()
OVERVIEW = table_of(Purpose.OVERVIEW)


def unexplained(text: str, table: FactTable) -> str:
    """What is left of a shown tip without the facts' own texts and the devices' names."""
    known = [fact.text for fact in table.facts] + [subject.name for subject in table.subjects]
    return re.sub("|".join(re.escape(item) for item in sorted(known, key=len, reverse=True)), " ", text)


def is_free_of_figures(text: str) -> bool:
    return not any(character.isnumeric() or character in "%€$£<>{}[]&\\@" for character in text) and text.isprintable()


def passes(answer: str, table: FactTable) -> tuple[str, ...] | str:
    """The shown texts, or the reason of the rejection after a marker."""
    try:
        return tuple(render(tip, table).text for tip in check_tips(parse_answer(answer), table))
    except AnswerRejected as rejected:
        return f"rejected: {rejected}"


def test_no_invented_figure_in_two_thousand_lying_answers():
    passed = [
        (lie, shown)
        for table, seed in ((TABLE, 1), (OVERVIEW, 2))
        for lie, answer in lying_answers(table, 1000, seed)
        if not isinstance(shown := passes(answer, table), str)
    ]
    assert passed == []


@pytest.mark.parametrize("claim", CLAIMS)
def test_each_claim_is_rejected_for_itself(claim):
    fact = next(finding.facts for finding in TABLE.findings if finding.device_id is None)
    tip = {"action": "inform", "text": f"Here is {{F1}} of it. {claim}", "facts": [next(iter(fact.values())).id]}
    assert str(passes(json.dumps({"tips": [tip]}), TABLE)).startswith("rejected: ")


def test_honest_answers_pass():
    chance = random.Random(7)
    answers = [(honest_answer(table, chance), table) for _ in range(500) for table in (TABLE, OVERVIEW)]
    rejected = [(result, answer) for answer, table in answers if isinstance(result := passes(answer, table), str)]
    assert len(rejected) <= 0.05 * len(answers), rejected[:5]


def test_honest_answers_show_only_figures_that_are_facts():
    chance = random.Random(8)
    for _ in range(100):
        shown = passes(honest_answer(TABLE, chance), TABLE)
        assert isinstance(shown, str) or all(is_free_of_figures(unexplained(text, TABLE)) for text in shown)


def test_a_repeated_unit_is_not_shown_twice():
    base = next(fact for fact in TABLE.facts if fact.unit == "kWh a year" and fact.device_id is None)
    tip = {"action": "find-always-on", "text": f"That makes {{{base.id}}} kWh per year in all.", "facts": [base.id]}
    assert passes(json.dumps({"tips": [tip]}), TABLE) == (f"That makes {base.text} in all.",)


def test_a_fact_is_not_told_of_another_device():
    own = {subject.appliance: subject for subject in TABLE.subjects}
    fridge, television = own["refrigerator"], own["television"]
    fact = next(fact for fact in TABLE.facts if fact.device_id == fridge.device_id)
    for text in (
        f"Look at {{{television.alias}}} which takes {{{fact.id}}} now.",
        f"Your television takes {{{fact.id}}}.",
    ):
        tip = {"action": "inform", "text": text, "facts": [fact.id]}
        assert str(passes(json.dumps({"tips": [tip]}), TABLE)).startswith("rejected: ")


async def test_the_rules_pass_the_lock_they_do_not_need():
    for purpose, table in ((Purpose.SAVING_TIPS, TABLE), (Purpose.OVERVIEW, OVERVIEW)):
        tips = await RuleAdviser().propose(Question(purpose, table))
        for tip in check_tips(tips, table):
            assert is_free_of_figures(unexplained(render(tip, table).text, table))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_whatever_is_put_behind_an_honest_tip_either_is_rejected_or_holds_no_figure(addition):
    tip = {"action": "inform", "text": f"Here is {{F1}} of it. {addition}", "facts": ["F1"]}
    shown = passes(json.dumps({"tips": [tip]}), TABLE)
    assert isinstance(shown, str) or all(is_free_of_figures(unexplained(text, TABLE)) for text in shown)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200) | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(json.dumps))
def test_anything_at_all_is_rejected_without_another_error(content):
    assert isinstance(passes(content, TABLE), str)
