"""The bodies of ingestion requests: media types, and unpacking that a bomb cannot hurt."""

import asyncio
import zlib
from dataclasses import dataclass

from starlette.requests import Request

from energy_tracker.contracts.ingestion import MAX_BATCH_ITEMS
from energy_tracker.kit.problems import BodyTooLarge, MalformedRequest, UnsupportedMediaType

JSON = "application/json"
NDJSON = "application/x-ndjson"
_OFF_THE_LOOP_BYTES = 64_000
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What one request may hold: bytes of its body, as sent and once unpacked, and readings of a batch."""

    body_bytes: int = 8_000_000
    batch_items: int = MAX_BATCH_ITEMS


def media_type(request: Request, *accepted: str) -> str:
    """Return which of the accepted media types a body has; the first where the request does not say.

    Raises `UnsupportedMediaType`.
    """
    declared = request.headers.get("content-type")
    if declared is None:
        return accepted[0]
    name = declared.partition(";")[0].strip().lower()
    if name in accepted:
        return name
    if name.endswith("+json"):
        return JSON
    message = f"Send {' or '.join(accepted)}, not {name[:80]!r}."
    raise UnsupportedMediaType(message)


async def unpacked_body(request: Request, *, limit: int) -> bytes:
    """Return the body without its content encoding.

    Raises `UnsupportedMediaType` (an encoding other than gzip), `MalformedRequest` (not one whole gzip member) and
    `BodyTooLarge` (more than `limit` bytes once unpacked; what is over is never unpacked).
    """
    body = await request.body()
    if "content-encoding" not in request.headers:
        return body
    encoding = ",".join(request.headers.getlist("content-encoding"))
    names = [name.strip().lower() for name in encoding.split(",")]
    names = [name for name in names if name not in {"", "identity"}]
    if not names:
        return body
    if any(name not in {"gzip", "x-gzip"} for name in names):
        message = f"The content encoding {encoding[:80]!r} is not known; send gzip, or none."
        raise UnsupportedMediaType(message)
    if len(names) > 1:
        raise MalformedRequest("The body is packed twice; pack it once.")
    if len(body) > _OFF_THE_LOOP_BYTES:
        return await asyncio.to_thread(gunzip, body, limit=limit)
    return gunzip(body, limit=limit)


def gunzip(packed: bytes, *, limit: int) -> bytes:
    """Unpack one gzip member. Raises `MalformedRequest` and `BodyTooLarge`."""
    member = zlib.decompressobj(_GZIP)
    try:
        body = member.decompress(packed, limit + 1)
    except zlib.error:
        raise MalformedRequest("The body is not gzip, though its content encoding says so.") from None
    if len(body) > limit:
        message = f"The body is larger than {limit} bytes once unpacked."
        raise BodyTooLarge(message)
    if not member.eof:
        raise MalformedRequest("The gzip body is cut off.")
    if member.unused_data:
        raise MalformedRequest("Something follows the gzip body; send one gzip member.")
    if body[:2] == b"\x1f\x8b":
        raise MalformedRequest("The body is packed twice; pack it once.")
    return body
