"""The adviser that needs no model: one plain sentence or two for each kind of finding."""

from collections.abc import Mapping
from types import MappingProxyType

from energy_tracker.services.insight.model.advice import Action, ProposedTip
from energy_tracker.services.insight.model.facts import Finding, FindingKind
from energy_tracker.services.insight.ports import Question

MAX_TIPS = 8

_SENTENCES: Mapping[FindingKind, tuple[Action, str]] = MappingProxyType(
    {
        FindingKind.ENERGY_USED: (Action.INFORM, "In the last {window} your home drew {energy}."),
        FindingKind.MONTH_END: (
            Action.INFORM,
            "This month will end at {low} to {high}; so far it has used {energy}.",
        ),
        FindingKind.BASE_LOAD: (
            Action.FIND_ALWAYS_ON,
            (
                "At night your home still draws {power}; held all year that is {yearly}, {share} of what it draws. "
                "Go round when everything seems off and unplug what nobody needs."
            ),
        ),
        FindingKind.LARGE_DEVICE: (
            Action.USE_LARGEST_LESS,
            (
                "{device} makes up {share} of what your home draws; at this pace it takes {yearly}. "
                "What changes here shows most."
            ),
        ),
        FindingKind.NEVER_OFF: (
            Action.SWITCH_OFF,
            (
                "{device} was never off: it draws at least {power} in every hour, {yearly} if it goes on. "
                "If nothing needs it all the time, switch it off while nobody uses it."
            ),
        ),
        FindingKind.ON_FOR_LONGER: (
            Action.CHECK_RUNNING_TIME,
            "{device} was on for {recent} this past week; its highest week before had {usual}.",
        ),
        FindingKind.ON_MORE_OFTEN: (
            Action.CHECK_RUNNING_TIME,
            "{device} was switched on {recent} this past week; its highest week before had {usual}.",
        ),
        FindingKind.WEEK_HIGHER: (
            Action.FIND_WEEK_CHANGE,
            (
                "This past week your home drew {recent}, against {usual} on the same weekdays before: {change} more. "
                "Look for what was new in it."
            ),
        ),
        FindingKind.WEEK_LOWER: (
            Action.KEEP_IT_UP,
            "This past week your home drew {recent}, against {usual} on the same weekdays before: {change} less.",
        ),
        FindingKind.SOLAR_SURPLUS: (
            Action.MOVE_TO_SURPLUS,
            (
                "Your home sent out {surplus} that it did not use itself, and has its peaks most often at {peak_hour}. "
                "Moving such runs into the sunny hours could cover up to {saving} with your own energy."
            ),
        ),
        FindingKind.COOLING_WORKS_HARDER: (
            Action.SERVICE_COOLING,
            (
                "{device} works harder and harder: from {usual} to {recent}, a growth of {change}. "
                "That is {yearly} if it stays so. "
                "Defrost it, clean the grille at its back and check that the door seals."
            ),
        ),
        FindingKind.POORLY_MEASURED: (
            Action.MEASURE_BETTER,
            "Only {coverage} of the time was measured for {device}: too little to judge, so there is no advice on it.",
        ),
        FindingKind.NOT_MEASURED: (
            Action.MEASURE_BETTER,
            "{device} was not measured at all ({coverage} of the time), so there is no advice on it.",
        ),
    }
)

_NOTHING_MEASURED = (
    "Nothing was measured in the last {window}, so there is nothing to advise on. Check that readings arrive."
)
_LONGER = " Check whether it was left on, or has a new use."


class RuleAdviser:
    """Tells the findings in their order, each in its own words; gives the same answer for the same facts."""

    name = "rules"

    async def propose(self, question: Question) -> tuple[ProposedTip, ...]:
        """Return a tip for each finding, the first `MAX_TIPS` of them."""
        aliases = {subject.device_id: subject.alias for subject in question.table.subjects}
        return tuple(_tip(finding, aliases) for finding in question.table.findings[:MAX_TIPS])


def _tip(finding: Finding, aliases: Mapping[int, str]) -> ProposedTip:
    action, sentence = _SENTENCES[finding.kind]
    if finding.kind is FindingKind.NOT_MEASURED and finding.device_id is None:
        sentence = _NOTHING_MEASURED
    if finding.kind in {FindingKind.ON_FOR_LONGER, FindingKind.ON_MORE_OFTEN}:
        sentence += _LONGER
    cited = {role.value: f"{{{fact.id}}}" for role, fact in finding.facts.items()}
    device = "your home" if finding.device_id is None else f"{{{aliases[finding.device_id]}}}"
    ids = tuple(fact.id for fact in finding.facts.values())
    return ProposedTip(action.value, sentence.format(device=device, **cited), ids)
