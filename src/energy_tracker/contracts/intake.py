"""What ingestion-services have not appended to `energy-usage` (wire contract, version 1)."""

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]


class IntakeCounts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """On `energy-intake`, by process: how many readings were duplicates or rejected at its door since it began.

    The latest message of each key counts, and the key belongs to one process for ever: the sum over all keys is what
    all processes have turned away ever since.
    """

    duplicate: Count = 0
    rejected: Count = 0
