"""What was asked about once is not asked about again, and not remembered without end."""

from energy_tracker.kit.asked import AskedAbout


def test_only_what_was_not_asked_about_is_told() -> None:
    asked = AskedAbout()

    assert asked.add([1, 2]) == {1, 2}
    assert asked.add([2, 3]) == {3}
    assert asked.add([1, 2, 3]) == set()


def test_when_there_are_too_many_it_begins_again() -> None:
    asked = AskedAbout(remembered=2)
    asked.add([1, 2, 3])

    assert asked.add([1, 2, 3]) == set()
    assert asked.add([4]) == {4}
    assert asked.add([1]) == {1}
