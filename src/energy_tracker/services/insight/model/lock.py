"""The number lock: what a model wrote reaches a user only where every figure in it is a fact that code computed.

A model cites facts as `{F3}` and devices as `{D1}`; code writes the values in. In the model's own words nothing may
state a quantity, name a device that is not in the facts, or be anything but plain text. One breach rejects it all.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from energy_tracker.kit import strict_json
from energy_tracker.kit.problems import Problem
from energy_tracker.services.insight.model.advice import CITATION, KINDS_OF_ACTION, Action, ProposedTip, cited_facts
from energy_tracker.services.insight.model.appliances import claimed_kinds
from energy_tracker.services.insight.model.facts import Fact, FactTable, Role, Unit
from energy_tracker.services.insight.model.words import PHRASES, joins_to_quantity, stated_quantity

MAX_TIPS = 8
MIN_TEXT = 15
MAX_TEXT = 400
MAX_FACTS_A_TIP = 12

_THINKING = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL | re.IGNORECASE)
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z .,;:!?()'\"\u2019\u2018\u201c\u201d/\u2013\u2014-]*")
_ABBREVIATIONS = re.compile(r"\b(?:e\.g\.|i\.e\.|etc\.)", re.IGNORECASE)
_ADDRESS = re.compile(r"://|\bwww\b|\w\.\w|\b(?:https?|mailto|ftp)\b|\bdot\s+(?:com|org|net|io)\b|//", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+")
_JOINED = re.compile(r"[A-Za-z]+(?:['\u2019\u2018/\u2013\u2014-][A-Za-z]+)+")
_SPACED_OUT = re.compile(r"\b[A-Za-z](?:[\s.,-]+[A-Za-z]\b){2,}")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
_BESIDE_CITATION = re.compile(r"[\s(\"'\u201c\u2018]")
_AFTER_CITATION = re.compile(r"[\s).,;:!?\"'\u201d\u2019]")
_RATE = re.compile(r"\s+(?:an?|per|each|every)\s+(hour|day|week|month|year|night)s?\b", re.IGNORECASE)
_RATE_FURTHER_ON = re.compile(
    r"\{(F\d+)\}[\s,(-]+(?:(?:or\s+so|of\s+\w+|in\s+(?:all|total)|more|less)[\s,(-]+)?"
    r"(?:an?|per|each|every)(?:\s+and\s+every)?(?:\s+single)?\s+(hour|day|week|month|year|night)s?\b",
    re.IGNORECASE,
)
_RATE_ADVERB = re.compile(r"\s+(hourly|daily|weekly|monthly|yearly|annually|nightly)\b", re.IGNORECASE)
_LEADING_RATE = re.compile(
    r"^\W*(?:(?:in|within|during|over)\s+)?(?:every|each|per|an?)(?:\s+single)?\s+(hour|day|week|month|year)\b"
    r"|^\W*(hourly|daily|weekly|monthly)\b(?=\W)|\b(hourly|daily|weekly|monthly)\W+\{F",
    re.IGNORECASE,
)
_RECKONED = re.compile(r"\}\s+(?:times|plus|by)\s+\{|\b(?:plus|times|not)\s+\{F", re.IGNORECASE)
_LESS_BY = re.compile(
    r"\b(?:cuts?|avoids?|shaves?|trims?)\s+\{(F\d+)\}|\b(?:reductions?|cuts?)\s+of\s+(?:up\s+to\s+)?\{(F\d+)\}"
    r"|\b(?:cut|cuts|reduc\w+|lower\w*|shav\w+|trim\w*)\s+(?:\w+\s+){0,3}?(?:by|up\s+to)\s+\{(F\d+)\}",
    re.IGNORECASE,
)
_SAVES = re.compile(r"\bsav(?:e|es|ed|ings?)\b(?:\W+[A-Za-z]+){0,4}\W*\{(F\d+)\}", re.IGNORECASE)
_THINK_TALK = re.compile(r"\b(?:system prompt|as an ai|language model|ignore (?:all|previous|the))\b", re.IGNORECASE)


class AnswerRejected(Exception):
    """An adviser's answer may not be shown. The message says why, in words fit to be told to the model."""


class _Tip(msgspec.Struct, forbid_unknown_fields=True):
    action: str
    text: str
    facts: tuple[str, ...]


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    tips: tuple[_Tip, ...]


def parse_answer(content: str) -> tuple[ProposedTip, ...]:
    """Read what a model sent: one JSON object, after at most one closed `<think>` part. Raises `AnswerRejected`."""
    body = _THINKING.sub("", content, count=1) if _THINKING.match(content) else content
    fenced = _FENCED.fullmatch(body)
    try:
        answer = msgspec.convert(strict_json.loads((fenced.group(1) if fenced else body).encode()), _Answer)
    except UnicodeEncodeError:
        raise AnswerRejected("The answer holds half a character.") from None
    except Problem as problem:
        raise AnswerRejected(f"The answer must be one JSON object and nothing else. {problem.detail}") from None
    except msgspec.ValidationError as error:
        raise AnswerRejected(f"The answer has the wrong form: {error}") from None
    return tuple(ProposedTip(tip.action, tip.text, tip.facts) for tip in answer.tips)


def check_tips(tips: Sequence[ProposedTip], table: FactTable) -> tuple[ProposedTip, ...]:
    """Return the tips as they may be rendered: units and rates that repeat the fact's own are taken out.

    Raises `AnswerRejected` for the first breach.
    """
    if not 1 <= len(tips) <= MAX_TIPS:
        raise AnswerRejected(f"Give between one and {MAX_TIPS} tips.")
    if len({tip.text for tip in tips}) < len(tips):
        raise AnswerRejected("Say nothing twice.")
    return tuple(_check_tip(tip, table) for tip in tips)


def _check_tip(tip: ProposedTip, table: FactTable) -> ProposedTip:
    if not MIN_TEXT <= len(tip.text) <= MAX_TEXT:
        raise AnswerRejected(f"A tip's text has {MIN_TEXT} to {MAX_TEXT} characters.")
    facts = table.by_id()
    text = _without_repeated_units(_with_braces(tip.text), facts)
    cited = CITATION.findall(text)
    ids = cited_facts(replace(tip, text=text))
    unknown = [alias for alias in ids if alias not in facts]
    unknown += [alias for alias in cited if alias[0] == "D" and alias not in {s.alias for s in table.subjects}]
    if unknown or not ids or len(ids) > MAX_FACTS_A_TIP:
        raise AnswerRejected("Every tip cites facts of the table, and only those.")
    if not any(alias.startswith("F") for alias in cited):
        raise AnswerRejected("Every tip shows in its text at least one of the facts that it rests on, such as {F3}.")
    _check_borders(text)
    _check_words(CITATION.sub(" ", text))
    _check_action(tip.action, ids, table)
    for sentence in _SENTENCE.findall(_ABBREVIATIONS.sub("", text)):
        _check_claims(sentence, table, ids)
    return ProposedTip(tip.action, text, ids)


def _with_braces(text: str) -> str:
    """Read `[F3]`, `(F3)` and a bare `F3` as the citation that they can only be."""
    text = re.sub(r"\{\s*([FD][1-9][0-9]{0,3})\s*\}", r"{\1}", text, flags=re.ASCII)
    text = re.sub(r"\[([FD][1-9][0-9]{0,3})\]", r"{\1}", text, flags=re.ASCII)
    return re.sub(r"(?<![\w{])([FD][1-9][0-9]{0,3})(?![\w}])", r"{\1}", text, flags=re.ASCII)


def _without_repeated_units(text: str, facts: dict[str, Fact]) -> str:
    """Take out a unit or rate after a citation that the rendered fact already has; refuse one that differs."""
    parts = []
    at = 0
    for match in CITATION.finditer(text):
        if match.start() < at:
            continue
        parts.append(text[at : match.end()])
        at = match.end()
        fact = facts.get(match.group(1))
        if fact is None:
            continue
        unit = _UNIT_WORDS[fact.unit].match(text, at)
        if unit:
            at = unit.end()
        rate = _RATE.match(text, at) or _RATE_ADVERB.match(text, at)
        if rate:
            said = rate.group(1).lower()
            if said not in _OWN_RATES[fact.unit] | _HARMLESS_RATES[fact.unit]:
                raise AnswerRejected("A fact is cited with a rate that is not its own; its unit is written for you.")
            at = rate.end() if said in _OWN_RATES[fact.unit] else at
    return "".join((*parts, text[at:]))


_YEAR = r"(?:\s*/\s*(?:year|yr|a)\b)?"
_UNIT_WORDS = {
    Unit.KILOWATT_HOURS: re.compile(r"[\s-]*(?:kwh|kilowatt[\s-]?hours?)\b", re.IGNORECASE),
    Unit.KILOWATT_HOURS_A_YEAR: re.compile(rf"[\s-]*(?:kwh|kilowatt[\s-]?hours?)\b{_YEAR}", re.IGNORECASE),
    Unit.WATTS: re.compile(r"[\s-]*(?:w|watts?)\b", re.IGNORECASE),
    Unit.PERCENT: re.compile(r"\s*(?:%|per\s?cent\b)", re.IGNORECASE),
    Unit.HOURS_A_DAY: re.compile(r"[\s-]*(?:h|hrs?|hours?)\b", re.IGNORECASE),
    Unit.TIMES_A_DAY: re.compile(r"\s*times\b", re.IGNORECASE),
    Unit.DAYS: re.compile(r"[\s-]*days?\b", re.IGNORECASE),
    Unit.CLOCK_HOUR: re.compile(r"\s*o['\u2019]?clock\b", re.IGNORECASE),
}
_YEARLY = frozenset({"year", "yearly", "annually"})
_DAILY = frozenset({"day", "daily"})
_NONE: frozenset[str] = frozenset()
_OWN_RATES = {
    Unit.KILOWATT_HOURS: _NONE,
    Unit.KILOWATT_HOURS_A_YEAR: _YEARLY,
    Unit.WATTS: _NONE,
    Unit.PERCENT: _NONE,
    Unit.HOURS_A_DAY: _DAILY,
    Unit.TIMES_A_DAY: _DAILY,
    Unit.DAYS: _NONE,
    Unit.CLOCK_HOUR: _NONE,
}
"""Rates that the rendered unit says already: taken out."""

_HARMLESS_RATES = dict.fromkeys(Unit, _NONE) | {
    Unit.WATTS: frozenset({"night", "nightly"}),
    Unit.CLOCK_HOUR: _DAILY,
}
"""Rates that make no other amount of the fact: kept."""


def _check_borders(text: str) -> None:
    """Refuse a citation that something is glued to, which would make another number of it."""
    end_before = -1
    for match in CITATION.finditer(text):
        before = text[match.start() - 1] if match.start() else " "
        after = text[match.end()] if match.end() < len(text) else " "
        between = text[end_before : match.start()] if end_before >= 0 else "-"
        if not _BESIDE_CITATION.fullmatch(before) or not _AFTER_CITATION.fullmatch(after) or not between.strip():
            raise AnswerRejected("A citation stands by itself, with spaces around it.")
        end_before = match.end()


def _check_words(own: str) -> None:
    """Refuse what states a quantity or is not plain text, in the words that are the model's own."""
    plain = _ABBREVIATIONS.sub(" ", own)
    if not _PLAIN.fullmatch(plain):
        raise AnswerRejected("Write plain English without digits, symbols, markup or line breaks.")
    if _ADDRESS.search(plain):
        raise AnswerRejected("Write no addresses.")
    if _THINK_TALK.search(plain):
        raise AnswerRejected("Write the tips only, not about yourself.")
    joined = [re.sub(r"[^A-Za-z]", "", match.group()) for match in _JOINED.finditer(plain)]
    words = _WORD.findall(re.sub(r"['\u2019](?:s|t|re|ll|ve|d|m)\b", " ", plain, flags=re.IGNORECASE))
    stated = next((word for word in (*words, *joined) if stated_quantity(word)), None) or joins_to_quantity(words)
    if stated is None:
        phrase = PHRASES.search(plain) or _SPACED_OUT.search(plain)
        stated = phrase.group() if phrase else None
    if stated is not None:
        raise AnswerRejected(
            f"Your own words state a quantity or compare with others: {stated[:40]!r}. Cite facts instead."
        )


def _check_action(action: str, ids: Sequence[str], table: FactTable) -> None:
    """Refuse an action that is not on the list, or that no cited finding calls for."""
    try:
        kinds = KINDS_OF_ACTION[Action(action)]
    except ValueError:
        raise AnswerRejected("The action is not one of the list.") from None
    found = {fact.id for finding in table.findings if finding.kind in kinds for fact in finding.facts.values()}
    if not found & set(ids):
        raise AnswerRejected(f"Nothing that the tip cites calls for the action {action}.")


def _check_claims(sentence: str, table: FactTable, ids: Sequence[str]) -> None:
    """Refuse a device's fact told of another device, and a saving claimed of a fact that is none."""
    facts = table.by_id()
    cited = CITATION.findall(sentence)
    kinds = claimed_kinds(sentence)
    own_kinds = {subject.appliance for subject in table.subjects}
    if kinds - own_kinds:
        raise AnswerRejected(f"There is no {min(kinds - own_kinds)} among the facts.")
    named = {s.device_id for s in table.subjects if s.alias in cited or s.appliance in kinds}
    about = {facts[alias].device_id for alias in cited if alias in facts} - {None}
    if named and about - named:
        raise AnswerRejected("A fact is told of a device that it is not about.")
    aliased = {s.device_id for s in table.subjects if s.alias in cited}
    if aliased - {facts[alias].device_id for alias in ids}:
        raise AnswerRejected("A device is named without a fact about it.")
    _check_rates(sentence, [facts[alias] for alias in cited if alias in facts])
    if _RECKONED.search(sentence):
        raise AnswerRejected("Nothing is reckoned with facts, and none is denied.")
    savings = {fact.id for finding in table.findings for role, fact in finding.facts.items() if role is Role.SAVING}
    called = {alias for claim in (_SAVES, _LESS_BY) for match in claim.finditer(sentence) for alias in match.groups()}
    if called - {None} - savings:
        raise AnswerRejected("A fact that is not a saving is called one.")


def _check_rates(sentence: str, cited: Sequence[Fact]) -> None:
    """Refuse an energy told per some other time than its own, wherever in the sentence."""
    by_id = {fact.id: fact for fact in cited}
    for match in _RATE_FURTHER_ON.finditer(sentence):
        unit = by_id[match.group(1)].unit
        if match.group(2).lower() not in _OWN_RATES[unit] | _HARMLESS_RATES[unit]:
            raise AnswerRejected("A sentence gives a fact another rate than its own.")
    leading = _LEADING_RATE.search(sentence)
    energies = {fact.unit for fact in cited} & {Unit.KILOWATT_HOURS, Unit.KILOWATT_HOURS_A_YEAR}
    if leading and any(next(filter(None, leading.groups())).lower() not in _OWN_RATES[unit] for unit in energies):
        raise AnswerRejected("A sentence gives a fact another rate than its own.")
