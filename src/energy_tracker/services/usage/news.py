"""Telling of episodes: one versioned transition each, and one message in the original's shape per opening."""

from datetime import tzinfo

import msgspec

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.contracts.readings import AlertMessage, EpisodeTransition
from energy_tracker.contracts.topics import (
    ENERGY_ALERT_EPISODES,
    ENERGY_ALERTS,
    ENERGY_USAGE,
    dead_letter_topic,
)
from energy_tracker.eventlog.dead_letter import dead_letter
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.instants import MS_PER_MINUTE, MS_PER_SECOND, to_iso
from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.usage.decoding import to_message
from energy_tracker.services.usage.model.calendar import zone_of
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.month_limit import describe_month_limit
from energy_tracker.services.usage.model.readings import LogPosition, Reading
from energy_tracker.services.usage.ports import DeadLetter, Directory, Outgoing, Recorded
from energy_tracker.services.usage.unusual_words import describe


def dead_letter_of(reading: Reading, reason: str) -> DeadLetter:
    """Return the dead letter of a reading that could be read but cannot be kept."""
    source = reading.source or LogPosition(ENERGY_USAGE, 0, 0)
    original = msgspec.json.encode(to_message(reading))
    return DeadLetter(reason, original, source.partition, source.offset, 1, source.topic)


def bury_all(turn: Recorded, *, now_ms: int) -> None:
    """Add the messages that keep the dead letters of a turn."""
    turn.outgoing += [bury(dead, now_ms=now_ms) for dead in turn.dead_letters]


def bury(dead: DeadLetter, *, now_ms: int) -> Outgoing:
    """Return the message that keeps what could not be used."""
    record = Record(dead.topic, dead.partition, dead.offset, None, dead.original, {}, now_ms)
    message = dead_letter(record, reason=dead.reason, now_ms=now_ms, readings=dead.readings)
    topic = dead_letter_topic(ENERGY_USAGE)
    return Outgoing(topic, message.key, message.value, message.headers, message.readings)


def tell(episode: Episode, directory: Directory) -> list[Outgoing]:
    """Return the messages about an episode that has just opened or ended."""
    user = directory.user(episode.user_id)
    device = None if episode.device_id is None else directory.device(episode.device_id)
    text = sentence_about(episode, device.name if device else "", zone_of(user.time_zone if user else "UTC"))
    key = str(episode.user_id)
    transition = _transition(episode, user, device, text)
    messages = [Outgoing(ENERGY_ALERT_EPISODES, key, msgspec.json.encode(transition), {})]
    is_news = episode.ended_ms is None and episode.notify
    if is_news and user is not None and user.alerting and episode.rule == "high-usage":
        messages.append(Outgoing(ENERGY_ALERTS, key, msgspec.json.encode(_alert(episode, user, text)), {}))
    return messages


def _transition(
    episode: Episode, user: DirectoryUser | None, device: DirectoryDevice | None, text: str
) -> EpisodeTransition:
    finding = episode.finding
    return EpisodeTransition(
        id=episode.id,
        version=episode.version,
        user_id=episode.user_id,
        rule=episode.rule,
        state="open" if episode.ended_ms is None else "ended",
        opened_at=to_iso(episode.opened_ms),
        message=text,
        notify=episode.notify,
        alerting=user.alerting if user else False,
        email=user.email if user else None,
        user_name=f"{user.name} {user.surname}".strip() if user else None,
        time_zone=user.time_zone if user else None,
        device_id=episode.device_id,
        device_name=device.name if device else None,
        ended_at=None if episode.ended_ms is None else to_iso(episode.ended_ms),
        threshold_kwh=_kwh(episode.threshold_mj),
        energy_consumed_kwh=_kwh(episode.energy_mj),
        kind=finding.kind if finding else None,
        extra_kwh_a_month=round(finding.extra_kwh_a_month, 3) if finding else None,
        held=episode.held,
    )


def _alert(episode: Episode, user: DirectoryUser, text: str) -> AlertMessage:
    return AlertMessage(
        user_id=user.id,
        message=text,
        threshold=_kwh(episode.threshold_mj) or 0.0,
        energy_consumed=_kwh(episode.energy_mj) or 0.0,
        email=user.email,
        id=episode.id,
        rule=episode.rule,
        opened_at=to_iso(episode.opened_ms),
    )


def _kwh(energy_mj: int | None) -> float | None:
    return None if energy_mj is None else millijoules_to_kwh(energy_mj)


def sentence_about(episode: Episode, device_name: str, zone: tzinfo) -> str:
    """Return what is told of an episode."""
    if episode.finding is not None:
        name = device_name or (f"Device {episode.device_id}" if episode.device_id else None)
        return describe(episode.finding, name, ended_ms=episode.ended_ms, is_normal=episode.is_normal, zone=zone)
    if episode.rule == "month-limit":
        return describe_month_limit(episode, zone)
    if episode.rule == "high-usage":
        threshold, energy = _kwh(episode.threshold_mj) or 0.0, _kwh(episode.energy_mj) or 0.0
        if episode.ended_ms is None:
            return f"The home used {energy:.3f} kWh within an hour, more than the threshold of {threshold:g} kWh."
        return f"The home's use of an hour is below the threshold of {threshold:g} kWh again."
    name = device_name or f"Device {episode.device_id}"
    if episode.ended_ms is None:
        return f"{name} has sent no reading for longer than it should; expected by {_to_the_second(episode.opened_ms)}."
    minutes = max(0, episode.ended_ms - episode.opened_ms) // MS_PER_MINUTE
    return f"{name} sends readings again, {minutes} minutes after it was expected."


def _to_the_second(instant_ms: int) -> str:
    return to_iso(instant_ms - instant_ms % MS_PER_SECOND)
