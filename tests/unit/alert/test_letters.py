"""What the mails say."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.alert import transition

from energy_tracker.services.alert.model.letters import kilowatt_hours, one_line, write_letter

ALLOWED_TAGS = {"html", "head", "meta", "body", "p", "strong", "table", "tr", "th", "td"}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))


@pytest.mark.parametrize(
    ("rule", "kind", "subject"),
    [
        ("high-usage", "opened", "Energy Usage Alert for User 1"),
        ("high-usage", "ended", "Energy usage is back to normal for User 1"),
        ("high-usage", "reminder", "Reminder: energy usage is still high for User 1"),
        ("silent-device", "opened", "Silent Device Alert for User 1"),
        ("month-limit", "opened", "Monthly Energy Limit Alert for User 1"),
        ("newer-rule", "ended", "Alert of the rule newer-rule (ended) for User 1"),
    ],
)
def test_subjects(rule: str, kind: str, subject: str):
    assert write_letter(transition(rule=rule), kind).subject == subject  # type: ignore[arg-type]  # one of the kinds


def test_a_letter_says_when_there_is_one():
    assert "one when it ends" in write_letter(transition(rule="high-usage"), "opened").text
    text = write_letter(transition(rule="month-limit"), "opened").text
    assert "one mail in a month that will pass your limit" in text
    assert "one when it ends" not in text


def test_times_are_the_users_and_the_end_is_told():
    letter = write_letter(transition(version=2), "ended")
    assert "2026-03-01 13:00:00 (Europe/Zurich, UTC+01:00)" in letter.text
    assert "2026-03-01 13:20:00 (Europe/Zurich, UTC+01:00)" in letter.text


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "\0", "America"])
def test_a_zone_that_is_none_is_utc(zone: str | None):
    assert "2026-03-01 12:00:00 (UTC, UTC+00:00)" in write_letter(transition(time_zone=zone), "opened").text


@pytest.mark.parametrize(
    ("energy_kwh", "text"), [(2.0, "2 kWh"), (0.0, "0 kWh"), (1.5000004, "1.5 kWh"), (0.1 + 0.2, "0.3 kWh")]
)
def test_energies(energy_kwh: float, text: str):
    assert kilowatt_hours(energy_kwh) == text


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_no_text_becomes_markup_or_a_second_line(name: str, device: str, message: str):
    told = transition(user_name=name, device_name=device, device_id=3, message=message)
    letter = write_letter(told, "opened")
    parser = Tags()
    parser.feed(letter.html)
    assert {tag for tag, _ in parser.tags} <= ALLOWED_TAGS
    assert {attribute for _, attributes in parser.tags for attribute, _ in attributes} <= {
        "lang",
        "charset",
        "style",
        "align",
    }
    for text in (name, device, message):
        assert one_line(text).isprintable() or set("\u200c\u200d") & set(text)
    assert letter.subject.isascii()
    assert letter.text.isprintable() is False  # it has lines of its own
    assert len(letter.text.splitlines()) <= len(write_letter(transition(device_id=3), "opened").text.splitlines())


def test_a_long_name_is_cut():
    assert len(one_line("x" * 4000)) == 500
