import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.kit.problems import InvalidRequest
from energy_tracker.services.user.model import (
    Erasure,
    InvalidEmailAddress,
    UserDraft,
    checked_details,
    email_key,
)

ZONES = frozenset({"Europe/Zurich", "UTC"})


def draft(name: str = "Anna", email: str = "anna@example.org", time_zone: str | None = None) -> UserDraft:
    return UserDraft(
        name=name,
        surname="",
        email=email,
        address="",
        alerting=False,
        energy_alerting_threshold_kwh=None,
        time_zone=time_zone,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna@Example.org", "anna@EXAMPLE.ORG"),
        ("straße@example.org", "STRASSE@example.org"),
        ("zoe\u0308@example.org", "zoë@example.org"),
        ("ΣΙΣΥΦΟΣ@example.org", "σισυφος@example.org"),
        ("a@münchen.example", "a@xn--mnchen-3ya.EXAMPLE"),
        ("a@mu\u0308nchen.example", "a@MÜNCHEN.example"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


@pytest.mark.parametrize(
    "email", ["a+b@example.org", "o'hara@example.co.uk", "a@localhost", "1@2.example", "用户@例子.广告"]
)
def test_addresses_that_are_right(email: str) -> None:
    assert email_key(email)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "@",
        "anna",
        "anna@",
        "@example.org",
        "anna@example",
        "a@b@example.org",
        "a@example.org,b@example.org",
        "a@example.org;b@example.org",
        "a@example.org b@example.org",
        "Anna <anna@example.org>",
        "anna@example.org\r\nBcc: eva@example.org",
        "anna\n@example.org",
        "an na@example.org",
        "an\u00a0na@example.org",
        "an\u200bna@example.org",
        ".anna@example.org",
        "anna.@example.org",
        "an..na@example.org",
        '"an na"@example.org',
        "anna@-example.org",
        "anna@example-.org",
        "anna@exa_mple.org",
        "anna@example..org",
        "anna@.example.org",
        "anna@example.org.",
        "anna@[127.0.0.1]",
        "anna@127.0.0.1",
        f"{'a' * 65}@example.org",
        f"{'ä' * 33}@example.org",
        f"a@{'b' * 64}.org",
        f"a@{'.'.join(['b' * 60] * 5)}.org",
        "a@\ud800.example",
        "\ud800@b.example",
    ],
)
def test_what_is_not_exactly_one_address_is_refused(email: str) -> None:
    with pytest.raises(InvalidEmailAddress):
        email_key(email)


@given(st.text(max_size=80))
def test_any_text_has_a_key_or_is_refused(text: str) -> None:
    for candidate in (text, f"{text}@example.org", f"a@{text}.example"):
        try:
            key = email_key(candidate)
        except InvalidEmailAddress:
            continue
        assert key == unicodedata.normalize("NFC", key)
        assert not set(key) & set(" ,;<>\r\n\t\0")
        assert email_key(candidate.upper().lower().casefold()) == key or not candidate.isascii()


@given(
    st.from_regex(r"[A-Za-z0-9+_-]{1,30}", fullmatch=True), st.from_regex(r"[a-z0-9]{1,20}\.[a-z]{2,8}", fullmatch=True)
)
def test_case_never_tells_two_addresses_apart(local: str, domain: str) -> None:
    email = f"{local}@{domain}"
    assert email_key(email) == email_key(email.swapcase()) == email_key(email_key(email))


def test_every_field_that_is_wrong_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked_details(draft(" ", "x", "Mars/Olympus"), time_zone="UTC", time_zones=ZONES)
    assert [error.pointer for error in caught.value.errors] == ["/name", "/email", "/timeZone"]


def test_a_zone_that_is_left_out_is_the_given_one() -> None:
    assert checked_details(draft(), time_zone="Europe/Zurich", time_zones=ZONES).time_zone == "Europe/Zurich"
    assert checked_details(draft(time_zone="UTC"), time_zone="Europe/Zurich", time_zones=ZONES).time_zone == "UTC"


@pytest.mark.parametrize("zone", ["europe/zurich", "../etc/passwd", "posixrules", "CEST"])
def test_a_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(InvalidRequest):
        checked_details(draft(time_zone=zone), time_zone="UTC", time_zones=ZONES)


def test_an_erasure_tells_when_nothing_is_left() -> None:
    assert Erasure(1, None).logs_expire_at_ms is None
    assert Erasure(1, None).dead_letters_expire_at_ms is None
    assert Erasure(1, 0).logs_expire_at_ms == 7 * 86_400_000
    assert Erasure(1, 0).dead_letters_expire_at_ms == 30 * 86_400_000
