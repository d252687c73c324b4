"""The compose files, as tests read them: parsed, and with each `${NAME:-default}` taken apart."""

import re
from pathlib import Path
from typing import Any

import yaml
from tests.support.repository import ROOT

MAIN = ROOT / "docker-compose.yml"
SCALE = ROOT / "docker-compose.scale.yml"
_INNERMOST = re.compile(r"\$\{([A-Z0-9_]+)(?::([-+])([^${}]*))?\}")


class _Loader(yaml.SafeLoader):
    """Reads Compose's own tag too, `!reset`: what stands there takes the place of what stood there."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    """Return a mapping whose keys stand in it once, as Compose wants them."""
    written = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    assert len(set(written)) == len(written), f"{node.start_mark}: a key stands there twice"
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True) for key, value in node.value
    }


_Loader.add_constructor("!reset", lambda loader, node: loader.construct_sequence(node))
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_compose(path: Path = MAIN) -> dict[str, Any]:
    """Return a compose file as it stands, anchors and merges followed."""
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader, with one tag more
    assert isinstance(document, dict)
    return document


def in_default(text: str) -> str:
    """Return a text as Compose has it where no variable is set."""
    while found := _INNERMOST.search(text):
        _, sign, word = found.groups()
        text = text[: found.start()] + (word if sign == "-" else "") + text[found.end() :]
    return text.replace("$$", "$")


def variables_in(text: str) -> dict[str, str | None]:
    """Return the variables of a text and their defaults; None where it has none, and is left empty."""
    found: dict[str, str | None] = {}
    while match := _INNERMOST.search(text):
        name, sign, word = match.groups()
        if sign != "+":
            found[name] = word if sign == "-" else None
        text = text[: match.start()] + (word if sign == "-" else "") + text[match.end() :]
    return found
