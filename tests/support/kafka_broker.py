"""A Kafka broker of a test's own, which asks for certificates and logins, and can be paused."""

import ipaddress
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from energy_tracker.eventlog.kafka_client import KafkaOptions

HOME = "ENERGY_TEST_KAFKA_HOME"
"""The variable that names a folder with Kafka's jars, in itself or in its `libs`; `java` is on the PATH."""

USER = "energy"
_LISTENERS = ("INSIDE", "LOGIN", "MUTUAL", "CONTROLLER")


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as files."""

    certificate_file: str
    key_file: str


@dataclass(frozen=True)
class Authority:
    """Signs certificates for tests."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> str:
        """Its own certificate."""
        return str(self.folder / f"{self.name}.pem")

    @classmethod
    def make(cls, folder: Path, name: str) -> "Authority":
        """Make an authority that signs itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        made = cls(folder, name, key, certificate.sign(key, hashes.SHA256()))
        Path(made.file).write_bytes(_pem(made.certificate))
        return made

    def identity(self, name: str) -> Identity:
        """Make a certificate for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = _builder(name, self.name, key).add_extension(address, False).sign(self.key, hashes.SHA256())
        made = Identity(str(self.folder / f"{name}.crt"), str(self.folder / f"{name}.key"))
        Path(made.certificate_file).write_bytes(_pem(certificate))
        Path(made.key_file).write_bytes(_pem(key))
        return made


@dataclass(frozen=True)
class Broker:
    """A running broker: `inside` is plain, `login` asks for a password over TLS, `mutual` for a certificate."""

    process: "subprocess.Popen[bytes]"
    authority: Authority
    inside: str
    login: str
    mutual: str
    password: str

    def options(self) -> KafkaOptions:
        """Reach it without any secret."""
        return KafkaOptions(bootstrap_servers=self.inside, topic_prefix=f"{secrets.token_hex(4)}-", answer_s=3)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it hang meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def private_broker(folder: Path) -> Iterator[Broker]:
    """Run a broker in an empty folder; it needs a few seconds to answer. Skips where there is no Java."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("needs Java on the PATH")
    authority = Authority.make(folder, "authority")
    server = authority.identity("server")
    joined = Path(server.key_file).read_bytes() + Path(server.certificate_file).read_bytes()
    (folder / "server.pem").write_bytes(joined)
    ports = dict(zip(_LISTENERS, _free_ports(len(_LISTENERS)), strict=True))
    addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    password = secrets.token_urlsafe()
    properties = folder / "server.properties"
    properties.write_text(_properties(folder, addresses, password), encoding="utf-8")
    home = Path(os.environ[HOME])
    jars = f"{home}/*:{home}/libs/*"
    command = [java, "-Xmx256m", "-Djava.awt.headless=true", "-cp", jars]
    scram = [f"--add-scram={kind}=[name={USER},password={password}]" for kind in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    storage = ["kafka.tools.StorageTool", "format", "--cluster-id", "dGVzdC1jbHVzdGVyLTAwMQ", "--config"]
    subprocess.run([*command, *storage, properties, *scram], check=True, capture_output=True, timeout=120)
    with (folder / "broker.log").open("wb") as output:
        process = subprocess.Popen([*command, "kafka.Kafka", properties], stdout=output, stderr=output)
        try:
            yield Broker(process, authority, addresses["INSIDE"], addresses["LOGIN"], addresses["MUTUAL"], password)
        finally:
            process.kill()
            process.wait(60)


def _properties(folder: Path, addresses: dict[str, str], password: str) -> str:
    listeners = ",".join(f"{name}://{address}" for name, address in addresses.items())
    advertised = ",".join(f"{name}://{address}" for name, address in addresses.items() if name != "CONTROLLER")
    modules = "org.apache.kafka.common.security"
    return f"""
node.id=1
process.roles=broker,controller
controller.quorum.voters=1@{addresses["CONTROLLER"]}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INSIDE
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map=INSIDE:PLAINTEXT,LOGIN:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
log.dirs={folder / "data"}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
transaction.partition.verification.enable=false
ssl.keystore.type=PEM
ssl.keystore.location={folder / "server.pem"}
ssl.truststore.type=PEM
ssl.truststore.location={folder / "authority.pem"}
listener.name.mutual.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_{USER}="{password}";
listener.name.login.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.login.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
"""


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _pem(item: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(item, x509.Certificate):
        return item.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    return item.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
