"""A mail as a message: whatever the address and the names, there is one recipient and no other header."""

from email import message_from_bytes, policy
from email.headerregistry import Address

from hypothesis import given
from hypothesis import strategies as st
from tests.support.alert import START_MS, transition

from energy_tracker.services.alert.adapters.smtp import compose
from energy_tracker.services.alert.model.mails import MailPolicy, MailSettings
from energy_tracker.services.alert.model.rules import changes_of

HEADERS = {
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "auto-submitted",
    "x-auto-response-suppress",
    "list-id",
    "mime-version",
    "content-type",
}
ADDRESSES = st.emails() | st.builds("{}@{}".format, st.text(max_size=20), st.text(max_size=20)) | st.text(max_size=40)


@given(ADDRESSES, st.text(max_size=80), st.text(max_size=80))
def test_nothing_gets_into_the_headers(address: str, name: str, message: str):
    told = transition(email=address, user_name=name, message=message, device_id=1, device_name=name)
    (change,) = changes_of([told], {}, policy=MailPolicy(), now_ms=START_MS)
    (mail,) = change.mails
    if mail.state == "suppressed":
        return
    composed = compose(mail, MailSettings(sender_name="Énergie"), recipient=mail.recipient)
    content = composed.as_bytes(policy=policy.SMTP.clone(utf8=not address.isascii()))
    parsed = message_from_bytes(content, policy=policy.default)
    assert {header.lower() for header in parsed.keys()} == HEADERS  # noqa: SIM118 - a message is no mapping
    assert len(parsed["To"].addresses) == 1  # type: ignore[attr-defined]  # a header of addresses
    if address.isascii():
        assert parsed["To"].addresses[0] == Address(addr_spec=address)  # type: ignore[attr-defined]  # as above
    assert parsed["Subject"] == "Energy Usage Alert for User 1"
    assert max(len(line) for line in content.split(b"\r\n")) <= 998  # RFC 5322, section 2.1.1
