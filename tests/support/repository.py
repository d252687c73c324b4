"""The tree of this repository, as the guards read it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "energy_tracker"


def tracked_files() -> Iterator[Path]:
    """Yield every file under version control that is there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            yield ROOT / name


def tracked_texts(*suffixes: str) -> Iterator[tuple[Path, str]]:
    """Yield the tracked files that are text, of these suffixes or of any, with what they hold."""
    for path in tracked_files():
        if suffixes and path.suffix not in suffixes:
            continue
        content = path.read_bytes()
        if b"\0" not in content:
            yield path, content.decode("utf-8")
