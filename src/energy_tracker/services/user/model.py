"""Users (homes) and what makes one valid."""

import re
import unicodedata
from dataclasses import dataclass, field

from energy_tracker.eventlog.port import Retention
from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.kit.text import folded

_LOCAL_MAX = 64  # RFC 5321, section 4.5.3.1.1
_DOMAIN_MAX = 253
_ADDRESS_MAX = 254  # RFC 5321, section 4.5.3.1.3, without its angle brackets
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010FFFF-]+")  # RFC 5322 atext, and RFC 6532
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class InvalidEmailAddress(ValueError):
    """The text is not exactly one e-mail address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDraft:
    """What somebody wants a user to be; `time_zone` None leaves the zone as it is, or takes the default."""

    name: str
    surname: str
    email: str
    address: str
    alerting: bool
    energy_alerting_threshold_kwh: float | None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDetails:
    """What is known of a user; the threshold is in kWh within an hour, `time_zone` an IANA name."""

    name: str
    surname: str
    email: str
    address: str
    alerting: bool
    energy_alerting_threshold_kwh: float | None
    time_zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A stored user. One with `deleted_at_ms` is a tombstone: its details are `NOTHING`."""

    id: int
    version: int
    details: UserDetails
    deleted_at_ms: int | None = None


NOTHING = UserDetails(
    name="",
    surname="",
    email="",
    address="",
    alerting=False,
    energy_alerting_threshold_kwh=None,
    time_zone="UTC",
)


@dataclass(frozen=True, slots=True)
class Erasure:
    """Since when a user is deleted (ms since 1970; None: not at all), and when what logs still hold is gone, too."""

    user_id: int
    deleted_at_ms: int | None
    retention: Retention = field(default_factory=Retention)

    @property
    def logs_expire_at_ms(self) -> int | None:
        """When the event log has dropped everything that it took before the deletion."""
        return None if self.deleted_at_ms is None else self.deleted_at_ms + self.retention.log_ms

    @property
    def dead_letters_expire_at_ms(self) -> int | None:
        """When the dead letters have, which is when nothing is left."""
        return None if self.deleted_at_ms is None else self.deleted_at_ms + self.retention.dead_letters_ms


def checked_details(draft: UserDraft, *, time_zone: str, time_zones: frozenset[str]) -> UserDetails:
    """Return the draft as details, its e-mail address in NFC; `time_zone` is taken where the draft has none.

    Raises `InvalidRequest`, which names every field that is wrong.
    """
    errors = []
    email = unicodedata.normalize("NFC", draft.email)
    if not draft.name.strip():
        errors.append(FieldError("/name", "must not be blank"))
    try:
        email_key(email)
    except InvalidEmailAddress as error:
        errors.append(FieldError("/email", str(error)))
    zone = draft.time_zone or time_zone
    if zone not in time_zones:
        errors.append(FieldError("/timeZone", "must be the name of an IANA time zone, such as Europe/Zurich"))
    if errors:
        message = f"Not acceptable: {', '.join(error.pointer for error in errors)}."
        raise InvalidRequest(message, errors=errors)
    return UserDetails(
        name=draft.name,
        surname=draft.surname,
        email=email,
        address=draft.address,
        alerting=draft.alerting,
        energy_alerting_threshold_kwh=draft.energy_alerting_threshold_kwh,
        time_zone=zone,
    )


def email_key(email: str) -> str:
    """Return what the spellings of one address have in common: no case, one form of each character, an ASCII domain.

    Takes one plain address `local@domain` (RFC 5322 dot-atom, RFC 6531 for what is not ASCII); quoted local parts,
    address literals and domains without a dot (but for `localhost`) are refused. Raises `InvalidEmailAddress`.
    """
    local, at, domain = email.rpartition("@")
    if not at or len(email) > _ADDRESS_MAX:
        raise InvalidEmailAddress("must be one e-mail address, such as anna@example.org")
    if len(local.encode("utf-8", "replace")) > _LOCAL_MAX or not all(
        _ATOM.fullmatch(atom) for atom in local.split(".")
    ):
        raise InvalidEmailAddress("must be one e-mail address; the part before the @ is not valid")
    if any(unicodedata.category(character)[0] in "CZ" for character in local):
        raise InvalidEmailAddress("must be one e-mail address; the part before the @ holds an invisible character")
    return f"{folded(local)}@{_ascii_domain(domain)}"


def _ascii_domain(domain: str) -> str:
    try:
        ascii_domain = domain.lower() if domain.isascii() else domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        ascii_domain = ""
    labels = ascii_domain.split(".")
    plain = len(ascii_domain) <= _DOMAIN_MAX and all(_LABEL.fullmatch(label) for label in labels)
    if not plain or (len(labels) == 1 and ascii_domain != "localhost") or labels[-1].isdigit():
        raise InvalidEmailAddress("must be one e-mail address; the part after the @ is not a domain")
    return ascii_domain


def search_key(details: UserDetails) -> str:
    """Return the text that a search looks in."""
    return folded(f"{details.name} {details.surname} {details.email}")
