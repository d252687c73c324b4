"""The driver of MySQL is in memory without what only one kind of login needs, and such a login works all the same."""

import subprocess
import sys

PROGRAM = """
import sys
from energy_tracker.storage.mysql import connector, mysql_url

connector(mysql_url("mysql://u:p@h/d", username=None, password=None), statement_timeout_s=1)
assert "asyncmy.auth" in sys.modules
assert not [name for name in sys.modules if name.startswith("cryptography")]

from asyncmy.auth import sha2_rsa_encrypt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

key = rsa.generate_private_key(65537, 2048)
public = key.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
sent = sha2_rsa_encrypt(b"secret", bytes(20), public)
mask = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
assert key.decrypt(sent, mask) == b"secret" + bytes(1)
"""


def test_a_login_that_encrypts_the_password_finds_what_it_needs_later() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
