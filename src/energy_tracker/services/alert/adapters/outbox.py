"""No mail server: every mail stays in the outbox, where the API and the console list it."""

from energy_tracker.services.alert.model.mails import Held, Mail, Outcome


class OutboxNotifier:
    """Sends nothing and loses nothing."""

    delivers = False

    async def send(self, mail: Mail) -> Outcome:
        """Leave the mail in the outbox."""
        del mail
        return Held()
