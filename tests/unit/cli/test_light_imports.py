"""What a service leaves out of its memory is there and is not used; a release that has it elsewhere is noticed here."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from energy_tracker.cli.light_imports import _ABSENT, _UNUSED

PROGRAM = """
import sys
from energy_tracker.cli.light_imports import leave_out_what_is_unused
leave_out_what_is_unused()
from energy_tracker.settings import load_settings
from energy_tracker.storage.sql import create_engine
from energy_tracker.wiring import alert, device, distributed, ingestion, insight
from energy_tracker.wiring import serving_alone, usage, usage_stream, user
create_engine("mysql://u:p@h/d")
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
LEFT_OUT = {"click", "cryptography", "multiprocessing", "rich", "pygments", "alembic", "mako"}


@pytest.mark.parametrize("name", [*_UNUSED, *_ABSENT])
def test_what_is_left_out_exists(name: str) -> None:
    assert find_spec(name) is not None


def test_a_service_has_none_of_it_in_memory() -> None:
    ended = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {*ended.stdout.split()} & LEFT_OUT == set()
