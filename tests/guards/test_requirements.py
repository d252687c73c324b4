"""What is installed is what is declared, every file of it checked against its hash."""

import re
import tomllib
from typing import Any

import pytest
from tests.support.repository import ROOT

import energy_tracker

NAME = re.compile(r"[A-Za-z0-9._-]+")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(specifiers: list[str]) -> set[str]:
    return {normal(match[0]) for text in specifiers if (match := NAME.match(text))}


def locked(file: str) -> dict[str, str]:
    return {normal(name): version for name, version in PIN.findall((ROOT / "requirements" / file).read_text())}


def test_everything_declared_is_locked() -> None:
    whole = project()
    runtime, groups = whole["project"]["dependencies"], whole["dependency-groups"]
    assert declared(runtime) <= locked("base.txt").keys()
    assert declared(runtime) | declared(groups["dev"]) <= locked("dev.txt").keys()
    assert declared(whole["build-system"]["requires"]) <= declared(groups["build"]) <= locked("build.txt").keys()


def test_tests_run_on_the_versions_that_are_shipped() -> None:
    base, dev = locked("base.txt"), locked("dev.txt")
    assert {name: dev.get(name) for name in base} == base


@pytest.mark.parametrize("file", ["base.txt", "dev.txt", "build.txt"])
def test_every_locked_file_has_its_hash(file: str) -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", (ROOT / "requirements" / file).read_text(), flags=re.MULTILINE)[1:]
    assert blocks
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_the_version_is_written_the_same_everywhere() -> None:
    version = project()["project"]["version"]
    assert energy_tracker.__version__ == version
    assert (
        f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
        or "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    )
