"""What all tests share: hypothesis without deadlines, and the servers that some tests need."""

import os

import pytest
from hypothesis import settings

# Without deadlines: a busy machine is no failure. `make test-all` looks longer.
settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose servers are not named, and fail it where CI promises them."""
    for marker in item.iter_markers("servers"):
        missing = [name for name in marker.args if not os.environ.get(name)]
        if missing:
            reason = f"needs a real server: set {', '.join(missing)}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
