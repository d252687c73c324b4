"""Use cases about the outbox: mails are tried until they are taken, refused for good, or too old.

Several processes may send from one outbox. A claim makes a mail one process's own for a while; an attempt ends well
before that while does. So a mail goes out twice only where a process dies, or is stopped for longer, while it sends.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import Problem
from energy_tracker.services.alert.model.mails import (
    Deferred,
    Delivered,
    Held,
    Mail,
    MailPolicy,
    Outcome,
    Refused,
    Settlement,
    retry_delay_ms,
)
from energy_tracker.services.alert.ports import MailOutbox, Notifier

HELD_TOO_LONG = "was written when no mail server was configured, and is no news any more"
IDLE_MS = 60_000


@dataclass(slots=True)
class ServerState:
    """What is known of the mail server in this process: it is left alone until `resume_at_ms` after it failed."""

    failures: int = 0
    resume_at_ms: int = 0
    last_error: str | None = None


class Mailing:
    """Sends what is due in the outbox, one mail at a time, at least once each."""

    def __init__(
        self,
        *,
        outbox: MailOutbox,
        notifier: Notifier,
        clock: Clock,
        policy: MailPolicy,
        random: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._notifier = notifier
        self._clock = clock
        self._policy = policy
        self._random = random
        self._unsettled: tuple[Mail, Settlement] | None = None
        self.server = ServerState()

    async def release_held_mails(self) -> int:
        """Queue the mails that were held for want of a server, if there is one now; the old ones are suppressed."""
        if not self._notifier.delivers:
            return 0
        now_ms = self._clock.now_ms()
        return await self._outbox.release_held(
            now_ms=now_ms, oldest_ms=now_ms - self._policy.held_news_ms, reason=HELD_TOO_LONG
        )

    async def send_next_mail(self) -> Outcome | None:
        """Try the mail that is due longest; None: nothing is due, or the server is to be left alone.

        When it is cancelled, it lets an attempt come to its end for a moment: a server that has the mail may be about
        to say so.
        """
        await self._settle()
        now_ms = self._clock.now_ms()
        if now_ms < self.server.resume_at_ms:
            return None
        mail = await self._outbox.claim(now_ms=now_ms, lease_ms=self._policy.lease_ms)
        if mail is None:
            return None
        attempt = asyncio.ensure_future(self._attempt(mail))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            await asyncio.wait({attempt}, timeout=self._policy.finish_ms / 1000)
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
            raise

    async def _attempt(self, mail: Mail) -> Outcome:
        outcome = await self._send(mail)
        self._note_server(outcome)
        self._unsettled = (mail, self._settlement(mail, outcome))
        await self._settle()
        return outcome

    async def _send(self, mail: Mail) -> Outcome:
        longest_s = self._policy.longest_attempt_ms / 1000
        try:
            async with asyncio.timeout(longest_s):
                return await self._notifier.send(mail)
        except TimeoutError:
            return Deferred(f"the attempt took longer than {longest_s:g} s", whole_server=True)

    async def _settle(self) -> None:
        """Write down how the last attempt ended; where the store is down, the next call tries again."""
        if self._unsettled is None:
            return
        unsettled, self._unsettled = self._unsettled, None
        try:
            await self._outbox.settle(*unsettled)
        except Problem:
            self._unsettled = unsettled
            raise

    async def pause_ms(self) -> int:
        """Return how long nothing will be due, at most a minute."""
        now_ms = self._clock.now_ms()
        next_ms = await self._outbox.next_attempt_at_ms()
        due_ms = max(next_ms, self.server.resume_at_ms) if next_ms is not None else now_ms + IDLE_MS
        return min(max(due_ms - now_ms, 0), IDLE_MS)

    def _note_server(self, outcome: Outcome) -> None:
        if isinstance(outcome, Deferred) and outcome.whole_server:
            self.server.failures += 1
            delay_ms = retry_delay_ms(self.server.failures, self._policy, random=self._random())
            self.server.resume_at_ms = self._clock.now_ms() + delay_ms
            self.server.last_error = outcome.reason
        else:
            self.server = ServerState()

    def _settlement(self, mail: Mail, outcome: Outcome) -> Settlement:
        now_ms = self._clock.now_ms()
        match outcome:
            case Delivered():
                return Settlement(state="sent", at_ms=now_ms)
            case Held():
                return Settlement(state="held", at_ms=now_ms)
            case Refused(reason):
                return Settlement(state="suppressed", at_ms=now_ms, error=reason)
            case Deferred(reason) if now_ms - mail.created_at_ms > self._policy.give_up_after_ms:
                return Settlement(state="suppressed", at_ms=now_ms, error=f"given up: {reason}")
            case Deferred(reason):
                delay_ms = retry_delay_ms(mail.attempts, self._policy, random=self._random())
                return Settlement(state="queued", at_ms=now_ms, next_attempt_at_ms=now_ms + delay_ms, error=reason)
            case _:
                assert_never(outcome)
