"""Advice: sentences with citations, and how they become text. Only code writes a number into a sentence."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from energy_tracker.services.insight.model.facts import FactTable, FindingKind
from energy_tracker.services.insight.model.hours import Device

CITATION = re.compile(r"\{([FD][1-9][0-9]{0,3})\}", re.ASCII)
"""A cited fact `{F3}` or device `{D1}`."""

_RANGE = re.compile(r"\{(F[1-9][0-9]{0,3})\} to \{(F[1-9][0-9]{0,3})\}", re.ASCII)
"""Two facts in a row; where they are a projection from low to high, the unit is written once."""

_SHOWABLE_NAME = re.compile(r"[^\W_][\w .,'\u2019()&+/#-]{0,39}", re.UNICODE)


class Purpose(StrEnum):
    """The two questions that insight-service answers."""

    OVERVIEW = "overview"
    SAVING_TIPS = "saving-tips"


class Action(StrEnum):
    """The closed list of what advice can tell a person to do."""

    INFORM = "inform"
    FIND_ALWAYS_ON = "find-always-on"
    USE_LARGEST_LESS = "use-largest-less"
    SWITCH_OFF = "switch-off"
    CHECK_RUNNING_TIME = "check-running-time"
    FIND_WEEK_CHANGE = "find-week-change"
    KEEP_IT_UP = "keep-it-up"
    MOVE_TO_SURPLUS = "move-to-surplus"
    SERVICE_COOLING = "service-cooling"
    MEASURE_BETTER = "measure-better"


KINDS_OF_ACTION: Mapping[Action, frozenset[FindingKind]] = MappingProxyType(
    {
        Action.INFORM: frozenset(FindingKind),
        Action.FIND_ALWAYS_ON: frozenset({FindingKind.BASE_LOAD, FindingKind.NEVER_OFF}),
        Action.USE_LARGEST_LESS: frozenset({FindingKind.LARGE_DEVICE}),
        Action.SWITCH_OFF: frozenset({FindingKind.NEVER_OFF, FindingKind.BASE_LOAD}),
        Action.CHECK_RUNNING_TIME: frozenset({FindingKind.ON_FOR_LONGER, FindingKind.ON_MORE_OFTEN}),
        Action.FIND_WEEK_CHANGE: frozenset({FindingKind.WEEK_HIGHER}),
        Action.KEEP_IT_UP: frozenset({FindingKind.WEEK_LOWER}),
        Action.MOVE_TO_SURPLUS: frozenset({FindingKind.SOLAR_SURPLUS}),
        Action.SERVICE_COOLING: frozenset({FindingKind.COOLING_WORKS_HARDER}),
        Action.MEASURE_BETTER: frozenset({FindingKind.POORLY_MEASURED, FindingKind.NOT_MEASURED}),
    }
)
"""What must have been found for an action to be advised."""

OF_OVERVIEW = frozenset(
    {
        FindingKind.ENERGY_USED,
        FindingKind.MONTH_END,
        FindingKind.BASE_LOAD,
        FindingKind.LARGE_DEVICE,
        FindingKind.WEEK_HIGHER,
        FindingKind.WEEK_LOWER,
        FindingKind.SOLAR_SURPLUS,
        FindingKind.POORLY_MEASURED,
        FindingKind.NOT_MEASURED,
    }
)
"""What an overview tells: where the energy goes. Saving tips tell everything but that."""

OF_SAVING_TIPS = frozenset(FindingKind) - {FindingKind.WEEK_LOWER}


@dataclass(frozen=True, slots=True)
class ProposedTip:
    """A tip before it was checked: `text` cites facts and devices as `{F3}` and `{D1}`; `facts` are ids it rests on."""

    action: str
    text: str
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tip:
    """A tip as the user reads it, and the ids of the facts that it rests on."""

    text: str
    facts: tuple[str, ...]


def render(tip: ProposedTip, table: FactTable) -> Tip:
    """Write the cited values and device names into a checked tip. Raises `KeyError` for an unknown citation."""
    facts = table.by_id()
    names = {subject.alias: subject.name for subject in table.subjects}

    def rendered(match: re.Match[str]) -> str:
        alias = match.group(1)
        return facts[alias].text if alias[0] == "F" else names[alias]

    def range_rendered(match: re.Match[str]) -> str:
        low, high = (facts[alias] for alias in match.groups())
        is_range = low.is_projection and high.is_projection and low.unit is high.unit
        return f"{low.number if is_range else low.text} to {high.text}"

    text = CITATION.sub(rendered, _RANGE.sub(range_rendered, tip.text))
    return Tip(text[:1].upper() + text[1:], cited_facts(tip))


def cited_facts(tip: ProposedTip) -> tuple[str, ...]:
    """Return the ids of all facts that a tip rests on, in the order of their numbers."""
    cited = {alias for alias in CITATION.findall(tip.text) if alias[0] == "F"}
    return tuple(sorted({*cited, *tip.facts}, key=lambda alias: (len(alias), alias)))


def shown_name(device: Device) -> str:
    """Return how a device is called in a tip: its name in quotes where it is plainly a name, else its number.

    A name of more than 40 characters, with a unit, a percent sign, an address or anything unprintable is not shown:
    it could be read as part of the advice.
    """
    name = unicodedata.normalize("NFC", " ".join(device.name.split()))
    words = name.split()
    plain = _SHOWABLE_NAME.fullmatch(name) and len(words) <= 5 and not re.search(r"www\.|\.\w{2,}|//", name)  # noqa: PLR2004 - a name, not a sentence
    claims = re.search(r"\d\s*(?:k?w(?:h|att\w*)?|percent|euros?|eur|usd|dollars?|x)\b|\d{4,}", name, re.IGNORECASE)
    return f"“{name}”" if plain and not claims else f"the device numbered {device.id}"
