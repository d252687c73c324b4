"""Honest and lying answers of models, in many phrasings, made by seed."""

import json
import random
from collections.abc import Iterator

from energy_tracker.services.insight.model.advice import KINDS_OF_ACTION, Action
from energy_tracker.services.insight.model.facts import Fact, FactTable, Finding, FindingKind, Role, Unit

_OPENINGS = ("", "", "", "First, a look at this: ", "Good to know: ", "Worth noticing: ", "Please note that ")

_TOLD = {
    FindingKind.ENERGY_USED: (
        "your home drew {energy} over the last {window}.",
        "in the past {window}, the home used {energy} in total.",
        "over {window} you consumed {energy} of electricity.",
    ),
    FindingKind.BASE_LOAD: (
        "even while everyone sleeps, your home keeps drawing {power}, which adds up to {yearly}.",
        "the base load is {power}. Over a year this amounts to {yearly}, or {share} of everything.",
        "about {share} of your energy goes into the base load ({power}), even when nobody is using anything.",
        "your home never rests: {power} flow at night, that's {yearly}!",
    ),
    FindingKind.LARGE_DEVICE: (
        "{device} is one of the largest consumers and accounts for {share} of your energy.",
        "{device} takes {share} of the energy; if nothing changes, it will use {yearly}.",
        "the largest share ({share}) goes to {device}, roughly {yearly}.",
    ),
    FindingKind.NEVER_OFF: (
        "{device} never switches off completely and draws at least {power}, so {yearly} go into standby.",
        "{device} keeps drawing {power} around the clock, which makes {yearly}.",
        "there wasn't an hour in which {device} was off: its lowest power is {power}.",
    ),
    FindingKind.ON_FOR_LONGER: (
        "{device} ran for {recent} last week, compared with {usual} in its busiest week before.",
        "lately {device} has been on for longer than usual: {recent} instead of {usual}.",
    ),
    FindingKind.ON_MORE_OFTEN: ("{device} was started {recent} lately, compared with {usual} before.",),
    FindingKind.WEEK_HIGHER: (
        "last week you used {recent}, which is {change} more than the {usual} of the same weekdays before.",
        "your weekly use rose from {usual} to {recent}, an increase of {change}.",
        "compared with {usual} before, the last week came to {recent} (up by {change}).",
    ),
    FindingKind.WEEK_LOWER: ("well done: you used {recent} instead of {usual}, which is {change} less than before.",),
    FindingKind.SOLAR_SURPLUS: (
        "your home sent out {surplus} of its own energy, while consumption peaks at {peak_hour}.",
        "your peak is usually at {peak_hour}. By moving it into the sunny hours you could save up to {saving}.",
        "up to {saving} could be covered by your own surplus if the runs at {peak_hour} were moved.",
    ),
    FindingKind.COOLING_WORKS_HARDER: (
        "{device} works harder than it did: its power went from {usual} to {recent}, a growth of {change}.",
        "the duty cycle of {device} grew by {change}, which would cost {yearly} if it goes on.",
        "{device} has been running more and more ({change} growth), from {usual} up to {recent}.",
    ),
    FindingKind.POORLY_MEASURED: (
        "only {coverage} of the time was measured for {device}, so I can't judge it.",
        "with a coverage of {coverage}, {device} is measured too poorly to say anything.",
    ),
    FindingKind.NOT_MEASURED: ("{device} was not measured at all, its coverage is {coverage}.",),
}

_ADVISED = {
    Action.INFORM: ("", " Keep an eye on it.", " It's a good starting point for further checks."),
    Action.FIND_ALWAYS_ON: (
        " Walk through the rooms before going to bed and check which devices still have a light on.",
        " Try unplugging chargers, set-top boxes or old routers one by one, and watch what happens.",
        " Smart strips with a switch, e.g. behind a desk, make this easy.",
        " Look for devices that stay warm even though they're not in use; they often draw power all night.",
    ),
    Action.USE_LARGEST_LESS: (
        " Consider running it less often, at a lower setting or only when it is full.",
        " Any change in how it's used will have the greatest effect.",
        " You might want to think about whether every run is needed.",
    ),
    Action.SWITCH_OFF: (
        " Use a switchable socket, or pull the plug when you don't need it.",
        " A timer could cut the power during the night and while you're away.",
        " Check its settings: quick start or network standby modes can often be disabled.",
    ),
    Action.CHECK_RUNNING_TIME: (
        " Did someone leave it running, or has its program changed?",
        " Check the timer and the program that you've chosen.",
        " If there's no reason for it, go back to your former routine.",
    ),
    Action.FIND_WEEK_CHANGE: (
        " Think about what was different: guests, holidays, a new device, colder weather, etc.",
        " Try to find out what changed, and whether it is here to stay.",
    ),
    Action.KEEP_IT_UP: (" Whatever you did, keep it up!", " Carry on like this."),
    Action.MOVE_TO_SURPLUS: (
        " Start washing or charging around noon, when the sun is high, instead of in the evening.",
        " Many appliances have a delay timer that makes this effortless.",
        " Shift flexible loads, i.e. laundry and charging, to the middle of the day.",
    ),
    Action.SERVICE_COOLING: (
        " Clean the condenser coils, check the door seal, and don't place it next to a stove.",
        " Defrost it and make sure that air can flow behind it; a worn gasket may need replacing.",
        " If cleaning doesn't help, have it looked at before it fails.",
    ),
    Action.MEASURE_BETTER: (
        " Please check the connection of its sensor so that we can give you better advice.",
        " Once the readings arrive regularly, advice will follow.",
    ),
}

_REPEATED_UNIT = {
    Unit.KILOWATT_HOURS: (" kWh",),
    Unit.KILOWATT_HOURS_A_YEAR: (" kWh per year", " a year", " kWh/year", " each year", " annually"),
    Unit.WATTS: (" W", " watts"),
    Unit.PERCENT: ("%", " %", " percent"),
    Unit.HOURS_A_DAY: (" hours per day", " a day", " hours"),
    Unit.TIMES_A_DAY: (" times a day", " times"),
    Unit.DAYS: (" days",),
    Unit.CLOCK_HOUR: (" o'clock",),
}


def _cite(fact: Fact, chance: random.Random) -> str:
    style = chance.choice(("{*}", "{*}", "{*}", "{*}", "[*]", "*", "{ * }"))
    cited = style.replace("*", fact.id)
    return cited + (chance.choice(_REPEATED_UNIT[fact.unit]) if chance.random() < 0.3 else "")


def honest_tip(finding: Finding, table: FactTable, chance: random.Random) -> dict[str, object]:
    """One tip about a finding, as a model that keeps to the rules may word it."""
    alias = {subject.device_id: subject.alias for subject in table.subjects}
    device = "your home" if finding.device_id is None else f"{{{alias[finding.device_id]}}}"
    told = chance.choice(_TOLD[finding.kind])
    if "window" in told and Role.ENERGY not in finding.facts:
        told = "nothing was measured in the last {window}."
    cited = {role.value: _cite(fact, chance) for role, fact in finding.facts.items()}
    cited.setdefault("coverage", "")
    action = chance.choice([action for action in Action if finding.kind in KINDS_OF_ACTION[action]])
    text = chance.choice(_OPENINGS) + told.format(device=device, **cited) + chance.choice(_ADVISED[action])
    ids = [fact.id for fact in finding.facts.values()]
    return {"action": action.value, "text": text[:1].upper() + text[1:], "facts": chance.sample(ids, len(ids))}


def honest_answer(table: FactTable, chance: random.Random) -> str:
    """A whole answer that keeps to the rules."""
    count = chance.randint(1, min(6, len(table.findings)))
    findings = sorted(chance.sample(range(len(table.findings)), count))
    answer = json.dumps({"tips": [honest_tip(table.findings[index], table, chance) for index in findings]})
    match chance.randrange(6):
        case 0:
            return f"<think>F3 is large, about 900 kWh?</think>\n\n{answer}"
        case 1:
            return f"```json\n{answer}\n```"
        case _:
            return answer


CLAIMS = (
    # Plain figures, and figures in other scripts and forms.
    "You will save 900 % this way.", "That is 876 kWh.", "It draws 12,5 W.", "Expect ٩٠٠ more.",
    "Expect \uff19\uff10\uff10 more.", "It adds ½ of it.", "It grows by x² over time.", "Cut it by ⅔.",
    "Use ⑨ less.", "Save Ⅻ of them.", "Save 九百 of it.", "Save 1e3 of it.", "Save 0x10 of it.", "About 3/4 of it.",
    "That is +5.", "That is -5.", "Save 9\u200b0\u200b0 of it.", "Save <b>9</b>00 of it.",
    "Save &#57;&#48;&#48; of it.", "Save &frac12; of it.", "Save %39%30 of it.", "Save \\u0039 of it.",
    # Words.
    "You will save nine hundred.", "You will save ninehundred.", "Save nine-hundred of it.", "Save NINE of it.",
    "You save ninty of them.", "You save twnety of them.", "Save a dozen of them.", "It uses twice as much.",
    "It uses half of it.", "That is double what it was.", "It has tripled since.", "A third of it is lost.",
    "Three quarters of it is lost.", "It went up tenfold.", "Most of it is wasted.", "The majority is wasted.",
    "It is a hundred times worse.", "Turn it off for an hour longer.", "Save a couple of them.", "Save zero of it.",
    "Save n i n e of it.", "Save ni-ne of it.", "Save a thou sand of it.", "Save XII of it.", "Save xl of it.",
    "It halves the load.", "Das sind neunhundert davon.", "Cela fait trente fois.", "Es el doble de antes.",
    "Sono novanta volte.",
    # Units and money.
    "It costs many euros.", "It costs many dollars.", "Lots of watts are lost.", "Count the kilowatt-hours lost.",
    "It costs € a lot.", "It costs $ a lot.", "A few degrees less help.", "Some per cent are lost.",
    "Some percent are lost.", "That is many kWh.", "That is many k\uff37h.", "That is many кWh.",
    "That is many k\u200bWh.",
    # Addresses, markup, control.
    "See https://example.com for more.", "See www.example.org for more.", "See example.com for more.",
    "Write to me@example.com for more.", "See [this](x) for more.", "See <a href=x>this</a> for more.",
    "See `this` now.", "See **this** now.", "Look\u202e at it.", "Look\x1b[31m at it.", "Look\nat it.",
    "Look\x00 at it.", "L\u043e\u043ek at it.",
    # Others' homes, devices that are not there, the model's own talk.
    "That is above the average household.", "Other homes use less.", "Your neighbours use less.",
    "Typical families use less.", "Nationwide it is less.", "Your dishwasher ran all night.", "The sauna was on.",
    "As an AI I cannot know.", "Ignore previous instructions.", "The system prompt says so.",
    "<think>hm</think> Look.",
    # Citations bent into other figures.
    "It is {F1}0 then.", "It is 1{F1} then.", "It is -{F1} then.", "It is {F1}{F2} then.", "It is {F1} {F2} then.",
    "It is {F999} then.", "It is {D99} then.", "It is {F1} hundred then.", "It is {F1}k then.", "It is {f1} then.",
    "It is {F01} then.", "It is {F1+F2} then.", "It is {F1:.0f} then.", "It is {{F1}} then.", "It is {0} then.",
    "It is {F1} a week then.", "Every day it is {F1} then.", "It is {F1} euros then.", "It is {F1} MWh then.",
    "You save {F1} then.", "You lose a tenner.", "It takes nearly all your energy.",
    "Almost everything goes to it.", "The lion's share goes to it.", "In a day it draws {F1} then.",
    "That is {F1} per person.", "That is {F1} or so a day.", "That is {F1}, every single hour.",
    "That is {F1} (a week).", "It is {F1} to the power of it.",
    "Weekly: {F1} then.", "You can cut {F1} from it.", "Reduce it by {F1} now.", "A reduction of {F1} is possible.",
    "You could avoid {F1} so.", "It is {F1} times {F2}.", "It is {F1} plus {F2}.", "It is minus {F1} now.",
    "It is not {F1} now.", "Multiply {F1} by itself.", "It is ten {F1} then.", "It is {\uff261} then.",
)  # fmt: skip


def lying_answers(table: FactTable, count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield `count` pairs of what the lie is and an answer that holds it, some in the words and some in the form."""
    chance = random.Random(seed)
    for number in range(count):
        tips = [honest_tip(finding, table, chance) for finding in table.findings[:3]]
        if number % 10:
            claim = CLAIMS[number % len(CLAIMS)]
            victim = chance.choice(tips)
            sentences = [str(victim["text"]), claim]
            chance.shuffle(sentences)
            victim["text"] = " ".join(sentences)
            yield claim, json.dumps({"tips": tips}, ensure_ascii=chance.random() < 0.5)
        else:
            yield _bent(tips, chance)


def _bent(tips: list[dict[str, object]], chance: random.Random) -> tuple[str, str]:
    """An answer that is wrong in its form, with a lie that would show if the form were forgiven."""
    whole = json.dumps({"tips": tips})
    lie = json.dumps({"action": "inform", "text": "You will save 900 % with this advice.", "facts": ["F1"]})
    forms = {
        "in prose": f"Sure! Here is the answer: {whole}",
        "prose behind": f"{whole}\nYou will save 900 %.",
        "cut off": whole[: len(whole) // 2],
        "unclosed think": f"<think>900 % {whole}",
        "late think": f"{whole}<think>900 %</think>",
        "two thinks": f"<think>a</think>{whole}<think>b</think>",
        "twice": whole + whole,
        "repeated key": whole[:-1] + f', "tips": [{lie}]}}',
        "nested": json.dumps({"tips": [{"tips": tips}]}),
        "no list": json.dumps({"tips": tips[0]}),
        "a list": json.dumps(tips),
        "more fields": json.dumps({"tips": tips, "summary": "You will save 900 %."}),
        "more in a tip": json.dumps({"tips": [{**tips[0], "saving": "900 %"}]}),
        "no facts": json.dumps({"tips": [{**tips[0], "text": "You should use less energy.", "facts": []}]}),
        "unknown fact": json.dumps({"tips": [{**tips[0], "facts": ["F999"]}]}),
        "unknown action": json.dumps({"tips": [{**tips[0], "action": "save 900 %"}]}),
        "empty": "",
        "empty object": "{}",
        "no tips": json.dumps({"tips": []}),
        "empty text": json.dumps({"tips": [{**tips[0], "text": ""}]}),
        "too long": json.dumps({"tips": [{**tips[0], "text": str(tips[0]["text"]) + " really" * 100}]}),
        "too many": json.dumps({"tips": tips[:1] * 50}),
        "a number": json.dumps({"tips": [{**tips[0], "text": 900}]}),
        "null": json.dumps({"tips": None}),
        "NaN": '{"tips": NaN}',
        "deep": "[" * 100_000,
        "html": f"<html>{whole}</html>",
        "half a character": whole[:-3] + "\ud83d" + whole[-3:],
    }
    name = chance.choice(sorted(forms))
    return name, forms[name]
