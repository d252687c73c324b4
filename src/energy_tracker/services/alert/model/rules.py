"""Which mails a transition causes: a pure fold of transitions into changes of the store."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.errors import MessageError
from email.headerregistry import Address

from energy_tracker.services.alert.model.episodes import Episode
from energy_tracker.services.alert.model.letters import write_letter
from energy_tracker.services.alert.model.mails import Mail, MailKind, MailPolicy, message_id
from energy_tracker.services.alert.model.transitions import Transition

NO_ADDRESS = "the user has no e-mail address"
NOT_AN_ADDRESS = "the user's e-mail address is not one address"
OVERTAKEN = "the episode had ended before this mail could be tried; the ending mail tells the whole"
REMINDER_NOT_NEEDED = "the episode has ended or was acknowledged before the reminder was due"
MAX_ADDRESS = 254  # RFC 5321, section 4.5.3.1.3


@dataclass(frozen=True, slots=True)
class KnownEpisode:
    """What the store has of an episode: itself and the kinds of its mails."""

    episode: Episode
    mails: frozenset[MailKind]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A mail that is not to be sent any more: suppressed for `reason`, if it is still waiting.

    With `only_untried`, only if no attempt was ever begun: one that was may be in a mailbox already.
    """

    message_id: str
    reason: str
    only_untried: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What one new transition changes, in this order: the episode, mails to be queued, mails to be withdrawn."""

    episode: Episode
    mails: tuple[Mail, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()


def changes_of(
    transitions: Iterable[Transition], known: Mapping[str, KnownEpisode], *, policy: MailPolicy, now_ms: int
) -> list[Change]:
    """Return what transitions, in the order of the log, change in what is known. Repeats change nothing."""
    state = dict(known)
    changes = []
    for transition in transitions:
        before = state.get(transition.episode_id)
        if before is not None and transition.version <= before.episode.version:
            continue
        change = _change(transition, before, policy=policy, now_ms=now_ms)
        changes.append(change)
        kinds = before.mails if before else frozenset[MailKind]()
        state[transition.episode_id] = KnownEpisode(change.episode, kinds | {mail.kind for mail in change.mails})
    return changes


def _change(transition: Transition, before: KnownEpisode | None, *, policy: MailPolicy, now_ms: int) -> Change:
    ends = transition.ended_at_ms is not None
    episode = Episode(
        id=transition.episode_id,
        version=transition.version,
        user_id=transition.user_id,
        rule=transition.rule,
        opened_at_ms=transition.opened_at_ms,
        message=before.episode.message if before and ends else transition.message,  # what the alert is about stays
        device_id=transition.device_id,
        ended_at_ms=transition.ended_at_ms,
        threshold_kwh=transition.threshold_kwh,
        energy_consumed_kwh=transition.energy_consumed_kwh,
        acknowledged_at_ms=before.episode.acknowledged_at_ms if before else None,
        sent=before.episode.sent if before else False,
    )
    kinds = _mails_due(transition, before, policy=policy)
    mails = tuple(_mail(transition, kind, policy=policy, now_ms=now_ms) for kind in kinds)
    return Change(episode, mails, _withdrawals(transition, policy=policy, now_ms=now_ms))


def _mails_due(transition: Transition, before: KnownEpisode | None, *, policy: MailPolicy) -> tuple[MailKind, ...]:
    """Return the mails to queue: an end is told to those who were told of the beginning, or if that never got here."""
    if not (transition.notify and transition.alerting):
        return ()
    told = before.mails if before else frozenset[MailKind]()
    if transition.ended_at_ms is not None:
        return ("ended",) if "ended" not in told and (before is None or "opened" in told) else ()
    if before is not None:  # an opening that was no news stays none, whatever its later versions say
        return ()
    return ("opened",) if policy.remind_after_ms is None else ("opened", "reminder")


def _withdrawals(transition: Transition, *, policy: MailPolicy, now_ms: int) -> tuple[Withdrawal, ...]:
    if transition.ended_at_ms is None:
        return ()
    reminder = Withdrawal(message_id(transition.episode_id, "reminder"), REMINDER_NOT_NEEDED)
    if not (transition.notify and transition.alerting) or now_ms - transition.opened_at_ms <= policy.news_ms:
        return (reminder,)
    return (Withdrawal(message_id(transition.episode_id, "opened"), OVERTAKEN, only_untried=True), reminder)


def _mail(transition: Transition, kind: MailKind, *, policy: MailPolicy, now_ms: int) -> Mail:
    letter = write_letter(transition, kind)
    wait_ms = (policy.remind_after_ms or 0) if kind == "reminder" else 0
    complaint = _complaint(transition.email)
    mail = Mail(
        message_id=message_id(transition.episode_id, kind),
        episode_id=transition.episode_id,
        user_id=transition.user_id,
        kind=kind,
        recipient=transition.email or "",
        subject=letter.subject,
        text=letter.text,
        html=letter.html,
        created_at_ms=now_ms,
        answers=None if kind == "opened" else message_id(transition.episode_id, "opened"),
        next_attempt_at_ms=now_ms + wait_ms,
    )
    if complaint is None:
        return mail
    return replace(mail, recipient=mail.recipient[:MAX_ADDRESS], state="suppressed", last_error=complaint)


def _complaint(email: str | None) -> str | None:
    """Return why nothing can be sent to this address, or None where it can be tried."""
    if not email or not email.strip():
        return NO_ADDRESS
    if len(email) > MAX_ADDRESS or not email.isprintable() or "@" not in email:
        return NOT_AN_ADDRESS
    try:
        Address(addr_spec=email)
    except (MessageError, ValueError, IndexError):
        return NOT_AN_ADDRESS
    return None
