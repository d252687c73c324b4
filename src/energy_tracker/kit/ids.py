"""Identity of readings: the sender's event id, or one derived from the content.

Inside, an event id is its key of bytes: the 16 bytes of a UUIDv8 where the text is one in canonical form (RFC 9562,
section 5.8), else the text in ASCII. A UUIDv8 has a byte above 0x7F, so the two never meet.
"""

import re
import struct
from hashlib import blake2b

_UUID8 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_UUID_BYTES = 16
_HALVES = struct.Struct(">QQ")
_read_halves, _halves = _HALVES.unpack, _HALVES.pack
_KEPT_HIGH, _VERSION_8 = 0xFFFF_FFFF_FFFF_0FFF, 0x8000
_KEPT_LOW, _VARIANT = 0x3FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000
_UUID_TEXT = 36


def derived_event_key(  # noqa: PLR0913, PLR0917 - the canonical content of a reading has these parts
    device_id: int,
    instant_us: int,
    kind: str,
    direction: str,
    amount: float,
    since_us: int | None,
    channel: str | None = None,
) -> bytes:
    """Return the key of a reading that came without an event id: the same content gives the same key.

    `instant_us` and `since_us` are microseconds since 1970; `amount` is in the kind's own unit (kWh or W);
    -0 counts as 0, and an empty channel as none.
    """
    content = f"{device_id}|{instant_us}|{kind}|{direction}|{amount + 0.0!r}|{since_us}"
    if channel:
        content = f"{content}|{channel}"
    high, low = _read_halves(blake2b(content.encode(), digest_size=_UUID_BYTES).digest())
    return _halves(high & _KEPT_HIGH | _VERSION_8, low & _KEPT_LOW | _VARIANT)


def derived_event_text(key: bytes) -> str:
    """Return the event id of a key that content has decided."""
    digits = key.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def event_key(event_id: str) -> bytes:
    """Return the key of an event id of 1 to 64 printable ASCII characters."""
    if len(event_id) == _UUID_TEXT and _UUID8.fullmatch(event_id):
        return bytes.fromhex(event_id.replace("-", ""))
    return event_id.encode("ascii")


def is_derived_form(key: bytes) -> bool:
    """Tell whether a key is one that content may have decided: the 16 bytes of a UUIDv8."""
    return len(key) == _UUID_BYTES and key[8] & 0x80 != 0


def event_id_text(key: bytes) -> str:
    """Return the event id of a key, as it is on the wire."""
    if is_derived_form(key):
        return derived_event_text(key)
    return key.decode("ascii")
