"""Nothing lies in the tree that belongs to a machine or to nobody."""

import re

from tests.support.repository import ROOT, tracked_texts

# Written in parts, so that this file does not hold them.
FORBIDDEN = {
    "the host of a package registry": re.compile(
        "|".join(["pypi" + r"\.org", "python" + r"hosted\.org", "registry" + r"\.npmjs", "proxy" + r"\.golang"])
    ),
    "a path of one machine": re.compile(
        "|".join(["/wor" + r"k/", "/ro" + r"ot/(?!\.ollama\b)", r"/home/(?!ada\b)[a-z]+/"])
    ),
    "an index in a lock file": re.compile("--" + r"(?:extra-)?index-url\s"),
    "a mark of a conflict": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
}
BESIDE_THE_CLONE = re.compile(r"\.\./" + "shared")
NO_REASON = re.compile(r"#\s*(?:noqa|type:\s*ignore)(?!:?\s*[\[:]?\s*[\w, \-\]]+\s*(?:-|#)\s*\S)")


def test_no_file_names_what_only_one_machine_has() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for path, text in tracked_texts()
        for what, pattern in FORBIDDEN.items()
        if pattern.search(text)
    ]
    assert not found


def test_only_the_ci_script_looks_beside_the_clone() -> None:
    found = [path.relative_to(ROOT).as_posix() for path, text in tracked_texts() if BESIDE_THE_CLONE.search(text)]
    assert set(found) <= {".ci/run"}


def test_every_ignore_names_its_rule_and_its_reason() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path, text in tracked_texts(".py")
        if path.is_relative_to(ROOT / "src")
        for line in text.splitlines()
        if NO_REASON.search(line)
    ]
    assert not found
