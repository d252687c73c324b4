"""A notifier whose mailbox is a list: for tests, and for trying things out."""

from energy_tracker.services.alert.model.mails import Delivered, Mail, Outcome


class MemoryNotifier:
    """Takes every mail."""

    delivers = True

    def __init__(self) -> None:
        self.taken: list[Mail] = []

    async def send(self, mail: Mail) -> Outcome:
        """Put the mail into the list."""
        self.taken.append(mail)
        return Delivered()
