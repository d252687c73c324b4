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
from energy_tracker.services.insight.model.advice import ProposedTip, Purpose, render
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


PROSE = (
    (
        "find-always-on",
        (
            "Your home has a continuous base load of {F3} during the night, which amounts to {F4}. Identify "
            "devices on standby and disconnect them."
        ),
    ),
    (
        "find-always-on",
        (
            "Even at night, {F3} is being consumed. Over the course of a year, that is {F4}. Consider using power "
            "strips to turn off groups of devices at once."
        ),
    ),
    (
        "find-always-on",
        (
            "Reduce your nighttime base load ({F3}) by switching off idle electronics; it currently accounts for "
            "{F4} annually."
        ),
    ),
    (
        "find-always-on",
        "Lowering the base load of {F3} is the most effective step, because it adds up to {F4}.",
    ),
    (
        "switch-off",
        ("{D1} is never turned off and consumes at least {F6}, totaling {F7} per year. Unplug it when not in use."),
    ),
    (
        "switch-off",
        (
            "The television ({D1}) draws at least {F6} in every hour. Turn it fully off instead of leaving it on "
            "standby."
        ),
    ),
    (
        "switch-off",
        "Consider turning {D1} off completely, since its standby power of {F6} results in {F7} every year.",
    ),
    (
        "service-cooling",
        (
            "{D3} is working harder than before: its mean power increased from {F17} to {F18}, a growth of {F19}. "
            "Clean the coils and check the seals."
        ),
    ),
    (
        "service-cooling",
        (
            "The refrigerator's duty cycle has grown by {F19}. If this continues, it'll use an additional {F20}. "
            "Check that the door closes properly, that there's enough space behind it, and that it isn't iced up."
        ),
    ),
    (
        "service-cooling",
        "Your refrigerator needs attention, as its consumption rose by {F19} (from {F17} to {F18}).",
    ),
    (
        "move-to-surplus",
        (
            "You exported {F11} of solar energy. Shift consumption from the peak at {F12} to sunny hours to use "
            "up to {F13} of your own energy."
        ),
    ),
    (
        "move-to-surplus",
        "Run the washing machine around midday rather than at {F12}; you could save up to {F13}.",
    ),
    (
        "move-to-surplus",
        "Moving your {F12} peak into hours with surplus could cover as much as {F13}.",
    ),
    (
        "find-week-change",
        (
            "Your consumption last week was {F8}, up {F10} from {F9} on the same weekdays before. Review what "
            "changed in your routine."
        ),
    ),
    (
        "find-week-change",
        "Last week you used {F8} compared to the usual {F9} \u2014 an increase of {F10}.",
    ),
    (
        "find-week-change",
        "This week's usage of {F8} is {F10} higher than usual.",
    ),
    (
        "inform",
        "To save energy, focus first on the base load of {F3}, then on {D1}, which takes {F7}.",
    ),
    (
        "find-always-on",
        "Check for 'vampire' loads: {F3} around the clock is {F4} per year!",
    ),
    (
        "inform",
        "Together, these changes help you to use less of the {F4} that your base load takes each year.",
    ),
)
"""Sentences in the manner of models, on the golden home's facts, written apart from the generator."""


@pytest.mark.parametrize(("action", "text"), PROSE)
def test_honest_prose_passes(action, text):
    shown = passes(json.dumps({"tips": [{"action": action, "text": text, "facts": []}]}), TABLE)
    assert not isinstance(shown, str), shown
    assert is_free_of_figures(unexplained(shown[0], TABLE).replace("\u2014", "-"))


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


def test_a_tip_that_shows_none_of_its_facts_rests_on_nothing():
    tip = ProposedTip("inform", "The home draws most of its energy for lighting and heating.", ("F1",))
    with pytest.raises(AnswerRejected, match="shows in its text"):
        check_tips((tip,), TABLE)


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
