"""An episode that late readings end, and others bring again, is the same episode with a next version."""

from tests.support.clock import START

from energy_tracker.services.usage.model.episodes import open_episode

START_MS = round(START.timestamp() * 1000)


def test_a_known_episode_goes_on_with_its_next_version() -> None:
    opened = open_episode("high-usage", user_id=1, opened_ms=START_MS, now_ms=START_MS)
    ended = opened.ended(START_MS, now_ms=START_MS)
    other = open_episode("high-usage", user_id=1, opened_ms=START_MS + 1, now_ms=START_MS)
    assert opened.following([]).version == 1
    assert opened.following([other]).version == 1
    assert opened.following([other, ended]).version == 3
    assert opened.following([ended]).ended_ms is None
