"""The adviser that asks a language model on an Ollama server.

The model gets no value and no name: findings with their facts' ids, units and labels, and devices as aliases with a
kind from a closed list. So it has nothing to repeat wrongly, and a prompt hidden in a name never reaches it.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import msgspec

from energy_tracker.services.insight.model.advice import KINDS_OF_ACTION, Action, ProposedTip, Purpose
from energy_tracker.services.insight.model.facts import FactTable, Finding
from energy_tracker.services.insight.model.lock import MAX_TEXT, MAX_TIPS, MIN_TEXT, AnswerRejected, parse_answer
from energy_tracker.services.insight.ports import AdviserUnavailable, Question

CONTEXT_TOKENS = 8192
"""`num_ctx`: Ollama's default cuts the FRONT off a longer prompt and answers 200 (ollama#3839, #4967)."""

ANSWER_TOKENS = 4096
"""`num_predict`: thinking counts, and a model that rambles stops here."""

CHARACTERS_A_TOKEN = 3
"""Fewer than English has (about four), so that the prompt is trimmed too early rather than too late."""

PROMPT_CHARACTERS = (CONTEXT_TOKENS - ANSWER_TOKENS) * CHARACTERS_A_TOKEN

CONNECT_TIMEOUT_S = 1.5
"""A server that is down, or does not even tell its version, is known within this; the rules then answer within 2 s."""

MAX_REASON_BYTES = 2_000
"""Of an answer that is an error, no more than this is read."""

MAX_ANSWER_BYTES = 64_000
"""More content than this is no answer; the schema's longest has a tenth of it."""

MAX_STREAM_BYTES = 4_000_000
"""All that is read of one stream, thinking and the frames around each token included."""

_ASKED = {
    Purpose.OVERVIEW: "Explain to the people of a home where their energy goes.",
    Purpose.SAVING_TIPS: "Tell the people of a home what they can do to use less energy.",
}

_RULES = f"""You choose and word advice about energy. You are given findings; each has facts with ids such as F3.
You do not know the values. Code writes them, with their units, where you cite a fact as {{F3}} or a device as {{D1}}.

Rules, checked by a program; one breach discards the whole answer:
- No digits, no number words, no fractions or multiples (half, twice, double, most of), no units, no money.
- Write {{F3}} where the value belongs, with spaces around it and no unit behind it. Cite only ids that are given.
- Speak of a device only as its alias, such as {{D1}}, and only next to facts about it. Invent no device.
- Call a fact a saving only if its role is saving.
- No comparison with other homes or averages: nothing is known of them.
- Plain English sentences of {MIN_TEXT} to {MAX_TEXT} characters; no markup, no lists, no addresses.
- Each tip has one action of the list that its finding allows, and the ids of the facts it rests on.
- At most {MAX_TIPS} tips, in the order of the findings.

Example of one tip: {{"action": "find-always-on", "text": "At night your home still draws {{F3}}, which makes {{F4}}.
Look for what nobody needs then.", "facts": ["F3", "F4"]}}"""


class _Message(msgspec.Struct):
    content: str = ""


class _Frame(msgspec.Struct):
    """One line of the stream; a model's separate `thinking` is not read."""

    message: _Message = msgspec.field(default_factory=_Message)
    done: bool = False
    done_reason: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class OllamaAdviser:
    """Asks one model on one server. `base_url` such as `http://127.0.0.1:11434`."""

    http: httpx.AsyncClient
    base_url: str
    model: str = "deepseek-r1"

    @property
    def name(self) -> str:
        """`ollama:<model>`."""
        return f"ollama:{self.model}"

    async def propose(self, question: Question) -> tuple[ProposedTip, ...]:
        """Ask the model once. Raises `AdviserUnavailable` and, for what is not an answer at all, `AnswerRejected`."""
        try:
            await self._see_that_it_answers()
            content = await self._chat(self._body(question))
        except httpx.HTTPError as error:
            message = f"{type(error).__name__} at {self.base_url}"
            raise AdviserUnavailable(message) from error
        return parse_answer(content)

    def _body(self, question: Question) -> dict[str, object]:
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": _RULES},
                {"role": "user", "content": user_prompt(question)},
            ],
            "stream": True,
            "format": answer_schema(question.table),
            "options": {"temperature": 0, "seed": 1, "num_ctx": CONTEXT_TOKENS, "num_predict": ANSWER_TOKENS},
        }

    async def _see_that_it_answers(self) -> None:
        """Tell a server that hangs from a model that thinks: both are silent, but only the latter tells its version."""
        url = f"{self.base_url.rstrip('/')}/api/version"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S), self.http.stream("GET", url, timeout=None):
                return  # any answer will do
        except TimeoutError:
            message = f"{self.base_url} does not answer within {CONNECT_TIMEOUT_S:g} s"
            raise AdviserUnavailable(message) from None

    async def _chat(self, body: Mapping[str, object]) -> str:
        # Reading has no limit of its own: a slow model thinks for long, and the desk's deadline holds over all of it.
        timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S, write=10.0, pool=CONNECT_TIMEOUT_S)
        url = f"{self.base_url.rstrip('/')}/api/chat"
        plain = {"Accept-Encoding": "identity"}  # nothing is unpacked, so nothing can swell
        async with self.http.stream("POST", url, json=body, headers=plain, timeout=timeout) as response:
            if response.status_code != httpx.codes.OK:
                message = f"{self.base_url} answered {response.status_code}{await _error_text(response)}"
                raise AdviserUnavailable(message)
            return await _read_stream(response)


async def _error_text(response: httpx.Response) -> str:
    """Return what the server says about an error, such as a model that is not pulled yet; empty where it says none."""
    body = b""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_REASON_BYTES:
                    break
        said = msgspec.json.decode(body, type=_Frame).error
    except (TimeoutError, httpx.HTTPError, msgspec.MsgspecError, RecursionError):
        return ""
    return f": {_printable(said)}" if said else ""


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:200])


async def _read_stream(response: httpx.Response) -> str:
    """Join the contents of the frames until the last one. An answer without end is cut off and rejected."""
    pending = b""
    parts: list[str] = []
    length = received = 0
    async for chunk in response.aiter_raw():
        received += len(chunk)
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            frame = _frame(line)
            if frame is None:
                continue
            parts.append(frame.message.content)
            length += len(frame.message.content)
            if frame.done:
                return _whole(parts, frame)
        if length > MAX_ANSWER_BYTES or received > MAX_STREAM_BYTES or len(pending) > MAX_ANSWER_BYTES:
            raise AnswerRejected("The answer is far too long.")
    last = _frame(pending)
    if last is None or not last.done:
        raise AdviserUnavailable("the stream ended before the answer did")
    return _whole([*parts, last.message.content], last)


def _whole(parts: list[str], last: _Frame) -> str:
    if last.done_reason == "length":
        raise AnswerRejected("The answer was cut off: be shorter.")
    return "".join(parts)


def _frame(line: bytes) -> _Frame | None:
    if not line.strip():
        return None
    try:
        frame = msgspec.json.decode(line, type=_Frame)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise AdviserUnavailable("the server does not speak as Ollama does") from error
    if frame.error is not None:
        message = f"the server says: {_printable(frame.error)}"
        raise AdviserUnavailable(message)
    return frame


def answer_schema(table: FactTable) -> dict[str, object]:
    """Return the JSON schema of an answer about a table; a model may still ignore it (ollama#8063)."""
    tip = {
        "type": "object",
        "properties": {
            "action": {"type": "string", "enum": _actions(table)},
            "text": {"type": "string"},
            "facts": {"type": "array", "items": {"type": "string", "enum": [fact.id for fact in table.facts]}},
        },
        "required": ["action", "text", "facts"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"tips": {"type": "array", "items": tip, "minItems": 1, "maxItems": MAX_TIPS}},
        "required": ["tips"],
        "additionalProperties": False,
    }


def _actions(table: FactTable) -> list[str]:
    kinds = {finding.kind for finding in table.findings}
    return [action.value for action in Action if KINDS_OF_ACTION[action] & kinds]


def user_prompt(question: Question) -> str:
    """Return the question with as many findings, the most important first, as the model's context surely holds."""
    objection = f"\nYour last answer was discarded: {question.objection}\n" if question.objection else ""
    head = f"{_ASKED[question.purpose]}\n{objection}\nFindings, the most important first:\n"
    room = PROMPT_CHARACTERS - len(_RULES) - len(head)
    aliases = {subject.device_id: f"{subject.alias} ({subject.appliance})" for subject in question.table.subjects}
    lines: list[str] = []
    for finding in question.table.findings:
        line = _finding_line(finding, aliases)
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return head + "\n".join(lines)


def _finding_line(finding: Finding, aliases: Mapping[int, str]) -> str:
    allowed = [action.value for action in Action if finding.kind in KINDS_OF_ACTION[action]]
    return json.dumps(
        {
            "finding": finding.kind.value,
            "about": "the home" if finding.device_id is None else aliases[finding.device_id],
            "actions": allowed,
            "facts": [
                {"id": fact.id, "role": role.value, "unit": fact.unit.value, "label": fact.label}
                for role, fact in finding.facts.items()
            ],
        }
    )
