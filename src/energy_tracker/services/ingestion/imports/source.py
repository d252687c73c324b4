"""A file, or standard input, as lines of text in bounded memory: `.gz`, byte-order marks, code pages, endless lines."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from energy_tracker.services.ingestion.imports.model import FileCannotBeImported, Finding

HEAD_BYTES: Final = 256 * 1024
LINE_LIMIT: Final = 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte-order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_KNOWN_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "iso-8859-1", "iso-8859-15")


class _Replayed(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head = memoryview(head)
        self._rest = rest
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer, narrowed
        view = memoryview(buffer)
        taken: bytes | memoryview = self._head[: len(view)]
        if taken:
            self._head = self._head[len(taken) :]
        else:
            taken = self._rest.read(len(view))
        view[: len(taken)] = taken
        self.bytes_read += len(taken)
        return len(taken)


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file: its first lines to look at, and all of its lines (the first ones again) to read once."""

    head: tuple[str, ...]
    lines: Iterator[str]
    findings: tuple[Finding, ...]


def open_source(stream: BinaryIO, *, encoding: str | None = None) -> Source:
    """Look at a binary stream and return its text; gzip is known by its first two bytes.

    Raises `FileCannotBeImported` for an empty file, an unknown encoding, a line over 1 MiB and, while the lines are
    read, for a gzip file that is cut off.
    """
    start = _read_up_to(stream, len(_GZIP_MAGIC))
    packed = start == _GZIP_MAGIC
    whole: BinaryIO = io.BufferedReader(_Replayed(start, stream), HEAD_BYTES)
    if packed:
        whole = gzip.GzipFile(fileobj=whole)  # type: ignore[assignment]  # a GzipFile reads as a BinaryIO does
    head = _read_head(whole)
    if not head.strip(b"\r\n\t \x00"):
        raise FileCannotBeImported("The file is empty.")
    finding = _encoding_of(head, encoding)
    text = io.TextIOWrapper(
        io.BufferedReader(_Replayed(head, whole), HEAD_BYTES), encoding=_codec(head, finding), errors="surrogateescape"
    )
    first = _whole_lines(head, _codec(head, finding))
    findings = (finding, Finding("packed", "gzip", "detected")) if packed else (finding,)
    return Source(first, _bounded_lines(text), findings)


def _read_up_to(stream: BinaryIO, size: int) -> bytes:
    parts: list[bytes] = []
    missing = size
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _read_head(stream: BinaryIO) -> bytes:
    try:
        return _read_up_to(stream, HEAD_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        message = f"The file is not whole gzip: {error}."
        raise FileCannotBeImported(message) from None


def _encoding_of(head: bytes, declared: str | None) -> Finding:
    if declared is not None:
        if declared.lower() not in _KNOWN_ENCODINGS:
            message = f"The encoding {declared[:40]!r} is not one of {', '.join(_KNOWN_ENCODINGS)}."
            raise FileCannotBeImported(message)
        return Finding("encoding", declared.lower(), "declared")
    for mark, codec, name in _MARKS:
        if head.startswith(mark):
            return Finding("encoding", codec, "detected", name)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=False)
    except UnicodeDecodeError as error:
        return Finding("encoding", "cp1252", "assumed", f"byte {error.start} is not UTF-8: read as Windows-1252")
    return Finding("encoding", "utf-8", "detected")


def _codec(head: bytes, finding: Finding) -> str:
    return "utf-8-sig" if finding.value == "utf-8" and head.startswith(codecs.BOM_UTF8) else finding.value


def _whole_lines(head: bytes, codec: str) -> tuple[str, ...]:
    text = codecs.getincrementaldecoder(codec)("surrogateescape").decode(head, final=len(head) < HEAD_BYTES)
    lines = io.StringIO(text, newline=None).readlines()
    if len(head) == HEAD_BYTES and len(lines) > 1:
        lines.pop()
    return tuple(lines)


def _bounded_lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    try:
        while line := text.readline(LINE_LIMIT):
            number += 1
            if len(line) >= LINE_LIMIT and not line.endswith("\n"):
                message = f"Line {number} is longer than {LINE_LIMIT} characters; the rows before it were read."
                raise FileCannotBeImported(message)
            yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        message = f"The gzip file is damaged after line {number}: {error}. The rows before it were read."
        raise FileCannotBeImported(message) from None
    except UnicodeDecodeError as error:
        message = f"Line {number + 1} cannot be read as {text.encoding}: {error.reason}. The rows before it were read."
        raise FileCannotBeImported(message) from None
