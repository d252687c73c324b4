"""Which mails transitions cause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.alert import START_MS, transition

from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_MINUTE
from energy_tracker.services.alert.adapters.memory import MemoryAlertStore
from energy_tracker.services.alert.model.mails import MailPolicy, message_id, retry_delay_ms
from energy_tracker.services.alert.model.rules import NO_ADDRESS, NOT_AN_ADDRESS, OVERTAKEN, Change, changes_of
from energy_tracker.services.alert.model.transitions import Transition

POLICY = MailPolicy()


def changes(*transitions: Transition, policy: MailPolicy = POLICY, now_ms: int = START_MS) -> list[Change]:
    return changes_of(transitions, {}, policy=policy, now_ms=now_ms)


def kinds(found: list[Change]) -> list[str]:
    return [mail.kind for change in found for mail in change.mails]


def test_one_mail_at_the_beginning_and_one_at_the_end():
    assert kinds(changes(transition(), transition(version=2))) == ["opened", "ended"]


def test_later_versions_of_an_open_episode_send_nothing():
    assert kinds(changes(transition(), transition(version=2, state="open"))) == ["opened"]


@pytest.mark.parametrize("silent", [{"notify": False}, {"alerting": False}])
def test_no_mail_for_late_news_nor_for_who_wants_none(silent: dict[str, bool]):
    found = changes(transition(**silent), transition(version=2, **silent))
    assert kinds(found) == []
    assert [change.episode.state for change in found] == ["open", "ended"]


def test_an_ended_episode_goes_on_saying_what_it_was_about_and_its_mail_says_how_it_ended():
    opened, ended = changes(transition(message="Much is used."), transition(version=2, message="Little is used again."))
    assert [opened.episode.message, ended.episode.message] == ["Much is used.", "Much is used."]
    assert "Little is used again." in ended.mails[0].text
    assert [change.episode.message for change in changes(transition(version=2, message="Over."))] == ["Over."]


def test_an_end_is_not_told_to_who_was_not_told_of_the_beginning():
    assert kinds(changes(transition(notify=False), transition(version=2))) == []


def test_an_end_whose_beginning_never_came_is_told():
    assert kinds(changes(transition(version=2))) == ["ended"]


@pytest.mark.parametrize(
    ("email", "complaint"),
    [
        (None, NO_ADDRESS),
        (" ", NO_ADDRESS),
        ("ada", NOT_AN_ADDRESS),
        ("ada@example.org, bob@example.org", NOT_AN_ADDRESS),
        ("ada@example.org\r\nBcc: bob@example.org", NOT_AN_ADDRESS),
        ("<ada@example.org>", NOT_AN_ADDRESS),
        ("a" * 250 + "@example.org", NOT_AN_ADDRESS),
        ("ada@", NOT_AN_ADDRESS),
        ("@example.org", NOT_AN_ADDRESS),
    ],
)
def test_what_is_not_one_address_is_suppressed_and_says_so(email: str | None, complaint: str):
    ((mail,),) = (change.mails for change in changes(transition(email=email)))
    assert (mail.state, mail.last_error) == ("suppressed", complaint)
    assert len(mail.recipient) <= 254


async def outcome_of(*transitions: Transition, now_ms: int, policy: MailPolicy = POLICY) -> list[tuple[str, str]]:
    store = MemoryAlertStore()
    await store.store(changes(*transitions, policy=policy, now_ms=now_ms), {})
    mails = await store.mails(states=frozenset(), before=None, limit=10)
    return [(mail.kind, mail.state) for mail in reversed(mails)]


async def test_an_opening_that_is_still_news_goes_out_before_its_end():
    told = await outcome_of(transition(), transition(version=2), now_ms=START_MS + MS_PER_HOUR)
    assert told == [("opened", "queued"), ("ended", "queued")]


async def test_an_opening_that_is_old_when_the_end_is_known_leaves_it_to_the_ending_mail():
    found = changes(transition(), transition(version=2), now_ms=START_MS + MS_PER_HOUR + 1)
    assert found[1].withdrawals[0].reason == OVERTAKEN
    told = await outcome_of(transition(), transition(version=2), now_ms=START_MS + MS_PER_HOUR + 1)
    assert told == [("opened", "suppressed"), ("ended", "queued")]


async def test_a_reminder_waits_and_is_withdrawn_by_the_end():
    policy = MailPolicy(remind_after_ms=30 * MS_PER_MINUTE)
    (change,) = changes(transition(), policy=policy)
    assert [mail.next_attempt_at_ms - START_MS for mail in change.mails] == [0, 30 * MS_PER_MINUTE]
    told = await outcome_of(transition(), transition(version=2), now_ms=START_MS, policy=policy)
    assert told == [("opened", "queued"), ("reminder", "suppressed"), ("ended", "queued")]


@given(st.data())
async def test_any_repetition_in_any_batches_gives_the_same_episodes_and_mails(data: st.DataObject):
    lives = {
        name: [transition(name, 1), transition(name, 2, state="open", energy_consumed_kwh=3.0), transition(name, 3)][:n]
        for name, n in data.draw(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3), min_size=1)).items()
    }
    # At least once, in order: after each new transition any earlier one of its episode may be repeated.
    sequence: list[Transition] = []
    remaining = {name: list(life) for name, life in lives.items()}
    while remaining:
        name = data.draw(st.sampled_from(sorted(remaining)))
        sequence.append(remaining[name].pop(0))
        seen = [each for each in sequence if each.episode_id == name]
        sequence += data.draw(st.lists(st.sampled_from(seen), max_size=2))
        if not remaining[name]:
            del remaining[name]
    store = MemoryAlertStore()
    while sequence:
        size = data.draw(st.integers(1, len(sequence)))
        batch, sequence = sequence[:size], sequence[size:]
        known = await store.known_episodes({each.episode_id for each in batch})
        await store.store(changes_of(batch, known, policy=POLICY, now_ms=START_MS), {})
    for name, life in lives.items():
        (last,) = changes(life[-1])
        assert await store.episode(name) == last.episode
    mails = await store.mails(states=frozenset(), before=None, limit=100)
    expected = {(name, "opened") for name in lives} | {(name, "ended") for name, life in lives.items() if len(life) > 2}
    assert sorted((mail.episode_id, mail.kind) for mail in mails) == sorted(expected)


@given(st.text(), st.sampled_from(["opened", "reminder", "ended"]))
def test_a_message_id_is_the_same_for_the_same_mail_and_plain(episode_id: str, kind: str):
    first = message_id(episode_id, kind)  # type: ignore[arg-type]  # one of the kinds
    assert first == message_id(episode_id, kind)  # type: ignore[arg-type]  # as above
    assert first.isascii()
    assert len(f"Message-ID: {first}") <= 78
    assert first != message_id(episode_id + "x", kind)  # type: ignore[arg-type]  # as above


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_pauses_grow_to_a_limit_and_are_never_none(failures: int, random: float):
    delay_ms = retry_delay_ms(failures, POLICY, random=random)
    assert POLICY.first_retry_ms / 2 <= delay_ms <= POLICY.last_retry_ms
    assert retry_delay_ms(failures + 1, POLICY, random=random) >= delay_ms
