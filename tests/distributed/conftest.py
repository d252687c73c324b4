"""All of these tests need real servers, and run one after the other in two workers at most: they see what killing does.

They wait for processes more than they work, so two of them at a time take half as long.
"""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
OWN_SERVERS = frozenset({"test_moving.py", "test_servers_down.py"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            apart = " on servers of their own" if item.path.name in OWN_SERVERS else ""
            item.add_marker(pytest.mark.xdist_group(f"distributed{apart}"))
