"""Text that is compared rather than shown."""

import unicodedata


def folded(text: str) -> str:
    """Return text for comparison without regard to case, in NFC."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
