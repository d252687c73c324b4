"""What all tests share: hypothesis without deadlines, and the servers that some tests need."""

import os

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)  # a busy machine is no failure
settings.load_profile("default")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose servers are not named, and fail it where CI promises them."""
    for marker in item.iter_markers("servers"):
        missing = [name for name in marker.args if not os.environ.get(name)]
        if missing:
            reason = f"needs a real server: set {', '.join(missing)}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
