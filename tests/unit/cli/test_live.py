"""The live view: what it says, at any width."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from energy_tracker.cli.access import SERVICES
from energy_tracker.cli.demo import Progress
from energy_tracker.cli.live import Heading, Homes, HomeToday, Rate, Snapshot, rendered
from energy_tracker.cli.output import NOTHING
from energy_tracker.contracts.usage import LedgerAnswer

LEDGER = LedgerAnswer(
    received=343_790,
    accepted=343_776,
    duplicate=9,
    rejected=5,
    stored=343_770,
    queued=4,
    dead_lettered=2,
    balanced=True,
)
HOMES = Homes(
    1, ("Lamps has sent no reading for longer than it should.",), 7, (HomeToday(1, "Demo home", 16, 21.14, None),)
)
SNAPSHOT = Snapshot(
    {service: f"http://127.0.0.1:{8080 + number}" for number, service in enumerate(SERVICES)},
    dict.fromkeys(SERVICES, "UP"),
    LEDGER,
    "15 in the last minute",
    HOMES,
)
HEADING = Heading("Energy Tracker, demo home", "/data/energy-tracker-demo", ".venv/bin/energy-tracker --demo usage")


def shown(snapshot: Snapshot, width: int, heading: Heading = HEADING) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(rendered(snapshot, heading))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # the StringIO from above


@pytest.mark.parametrize("width", [80, 120])
def test_everything_is_readable(width: int) -> None:
    lines = shown(SNAPSHOT, width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    text = "\n".join(lines)
    for words in (
        "insight    http://127.0.0.1:8085  UP",
        "15 in the last minute",
        "343,776 accepted, 9 repeated, 5 rejected",
        "4 waiting, 2 set aside; the books balance",
        "1 open",
        "Lamps has sent no reading for longer than it should.",
        "Demo home: 16 devices, 21.14 kWh today",
        "and 6 more users",
        "Ctrl-C stops it.",
    ):
        assert words in text, text


def test_what_is_down_or_does_not_answer_is_said() -> None:
    broken = replace(SNAPSHOT, health={**SNAPSHOT.health, "usage": "DOWN"}, ledger=None, rate="")
    text = "\n".join(shown(broken, 80))
    assert "8083  DOWN" in text
    assert "usage-service does not say" in text
    assert "5 of 6 services up (not usage)" in broken.line()


def test_a_name_cannot_steer_the_terminal() -> None:
    evil = replace(SNAPSHOT, homes=replace(HOMES, today=(HomeToday(1, "\x1b[2J[bold]x", 1, None, None),)))
    text = "\n".join(shown(evil, 80))
    assert "\x1b" not in text + evil.line()
    assert f"[bold]x: 1 device, {NOTHING} kWh today" in text


def test_the_rate_is_of_the_last_minute_or_of_this_moment() -> None:
    rate = Rate()
    assert rate.sentence(0.0, 100) == "0 since this start"
    assert rate.sentence(2.0, 104) == "4 since this start"
    assert rate.sentence(4.0, 60_104) == "30,000 a second"
    assert rate.sentence(60.0, 60_110) == "60,010 in the last minute"
    assert rate.sentence(66.0, 60_116) == "12 in the last minute"
    assert rate.sentence(122.0, 60_117) == "7 in the last minute"


def test_news_is_shown_while_there_is_some() -> None:
    progress = Progress(from_ms=0, until_ms=3, to_ms=4)
    heading = replace(HEADING, news=progress.sentence)
    assert "Making the home's history … 75%" in shown(SNAPSHOT, 80, heading)
    progress.until_ms = 4
    assert not [line for line in shown(SNAPSHOT, 80, heading) if "history" in line]
