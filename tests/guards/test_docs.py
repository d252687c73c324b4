"""The documentation says what the code does: generated pages, links, names of settings, snippets."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.repository import ROOT

from energy_tracker.settings import Settings, load_settings
from energy_tracker.settings.variables import variables_of

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").rglob("*.md")])
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.env"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SETTING = re.compile(r"\bENERGY_TRACKER_[A-Z_]+[A-Z]\b")
RUNNABLE = re.compile(r"^```console run\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def snippets() -> list[tuple[str, str]]:
    """Return page and commands of every block that is marked ```console run: its lines after `$ `."""
    return [
        (name_of(page), "\n".join(line[2:] for line in block.splitlines() if line.startswith("$ ")))
        for page in PAGES
        for block in RUNNABLE.findall(page.read_text(encoding="utf-8"))
    ]


def test_the_generated_reference_is_current() -> None:
    command = [sys.executable, "docs/generate.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8"))]
    local = [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_the_index_leads_to_every_page() -> None:
    docs = ROOT / "docs"
    linked = {target.partition("#")[0] for target in LINK.findall((docs / "index.md").read_text(encoding="utf-8"))}
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    assert pages - linked <= {"index.md"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_that_is_mentioned_exists(page: Path) -> None:
    known = {name for variable in variables_of(Settings) for name in variable.names}
    assert set(SETTING.findall(page.read_text(encoding="utf-8"))) <= known


def test_every_setting_is_documented() -> None:
    variables = list(variables_of(Settings))
    names = [name for variable in variables for name in variable.names]
    assert len(names) == len(set(names))
    for variable in variables:
        assert len(variable.description) > 8, variable.name
        assert variable.section.__doc__, variable.section


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_every_example_of_settings_loads(example: Path) -> None:
    lines = [line for line in example.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    environ = dict(line.split("=", 1) for line in lines)
    assert environ
    load_settings(environ)


@pytest.mark.parametrize(("page", "commands"), snippets())
def test_snippets_run(page: str, commands: str, tmp_path: Path) -> None:
    environ = {
        **{name: text for name, text in os.environ.items() if not name.startswith("ENERGY_TRACKER_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ENERGY_TRACKER_HOME": str(tmp_path / "home"),
    }
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{page}\n{commands}\n{result.stdout[-1500:]}\n{result.stderr[-1500:]}"
