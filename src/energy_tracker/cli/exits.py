"""The exit codes of every command."""

from typing import Final

OK: Final = 0
FAILED: Final = 1
"""It was not done, or not in full, or what was looked at has problems."""
USAGE: Final = 2
"""The command line itself is wrong."""
UNREACHABLE: Final = 3
"""A service, or the data folder, cannot be used now; trying again later may help."""
CONFIGURATION: Final = 4
"""A setting is wrong; every one is named."""
INTERRUPTED: Final = 130
"""Ctrl-C."""
