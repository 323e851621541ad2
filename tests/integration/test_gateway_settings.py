"""The gateway's settings and its TLS: what a misconfigured edge says, and whom it does not talk to."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from gateway.collector import wanted_by
from gateway.errors import BadSetting
from gateway.outbox import Outbox
from gateway.radio import Discovery
from gateway.settings import PREFIX, from_environment
from simulators.embedded.broker import Broker
from simulators.embedded.tree import cache_folder
from simulators.embedded.unprivileged import give
from tests.fix_bluetooth import StartGateway, until_logged

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with what is required."""
    monkeypatch.setenv(f"{PREFIX}SITE", "dongyuan")
    monkeypatch.setenv(f"{PREFIX}SOURCE", "gw-1")
    return monkeypatch


def discovery(address: str, *services: str) -> Discovery:
    return Discovery(address, "", frozenset(services), -50, None)


def test_lists_are_written_with_commas_and_passkeys_are_secret(setting: pytest.MonkeyPatch) -> None:
    setting.setenv(f"{PREFIX}ACCEPT", "aa:bb:cc:00:00:01, 1810")
    setting.setenv(f"{PREFIX}PASSKEYS", "aa:bb:cc:00:00:01=012345")
    found = from_environment()
    assert found.accept == {"AA:BB:CC:00:00:01", "1810"}
    assert found.passkeys["AA:BB:CC:00:00:01"].get_secret_value() == "012345"
    assert "012345" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ZONE", "Asia/Nowhere", "no time zone"),
        ("PASSKEYS", "aa:bb:cc:00:00:01=secret", "one to six digits"),
        ("BROKER_PORT", "70000", "BROKER_PORT"),
        ("SOURCE", "a/b", "SOURCE"),
        ("OUTBOKS", "x", "unknown: SUIFANG_GATEWAY_OUTBOKS"),
        ("BROKER_CA", "/ca.pem", "broker_ca without broker_tls"),
        ("PHD_LISTEN", "127.0.0.1:99999", "PHD_LISTEN: .*is not HOST:PORT"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_reason(
    setting: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    setting.setenv(f"{PREFIX}{name}", value)
    with pytest.raises(BadSetting, match=said):
        from_environment()


def test_a_ca_file_that_is_not_there_is_a_bad_setting(setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setting.setenv(f"{PREFIX}BROKER_TLS", "true")
    setting.setenv(f"{PREFIX}BROKER_CA", str(tmp_path / "none.pem"))
    with pytest.raises(BadSetting, match="TLS"):
        from_environment().tls()


def test_tls_is_verified_by_default(setting: pytest.MonkeyPatch) -> None:
    setting.setenv(f"{PREFIX}BROKER_TLS", "true")
    context = from_environment().tls()
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("accept", "address", "service", "admitted"),
    [
        (set(), "F0:00:00:00:00:01", "1810", True),
        (set(), "F0:00:00:00:00:01", "180D", False),
        ({"1808"}, "F0:00:00:00:00:01", "1810", False),
        ({"F0:00:00:00:00:01"}, "F0:00:00:00:00:01", "180D", True),
        ({"F0:00:00:00:00:01"}, "F0:00:00:00:00:02", "1810", False),
        ({"F0:00:00:00:00:01", "1808"}, "F0:00:00:00:00:02", "1808", True),
    ],
)
def test_the_allow_list_admits_by_address_or_by_service(
    accept: set[str], address: str, service: str, admitted: bool
) -> None:
    wanted = wanted_by(frozenset(accept))
    assert wanted.admits(discovery(address, service)) is admitted


def authority(folder: Path, name: str) -> Path:
    """A certificate for 127.0.0.1, its own authority; the key lies beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the broker's user can reach."""
    with tempfile.TemporaryDirectory(prefix="certificates-", dir=cache_folder()) as name:
        yield Path(name)


async def test_over_tls_readings_go_to_the_broker_with_our_authority_and_to_no_other(
    gateway: StartGateway, tmp_path: Path, folder: Path
) -> None:
    with Outbox(tmp_path / "gateway.sqlite") as outbox:
        outbox.put([Observation(device="ble:f0", kind=BLOOD_PRESSURE, values=(120.0,), unit="mm[Hg]", measured_at=NOW)])
    stranger = authority(tmp_path / "stranger", "stranger")
    ours = authority(folder / "ours", "ours")
    for path in (folder, ours.parent, *ours.parent.iterdir()):
        give(path)
    settings = {"certfile": str(ours), "keyfile": str(ours.with_name("key.pem"))}
    secured = Broker(settings=settings)
    secured.credentials("gw-1")  # before the start: a running broker would be told to read its passwords again
    with secured:
        with gateway(secured, broker_tls=True, broker_ca=stranger, drain_s=0.1) as process:
            await until_logged(process, "no broker")
            assert not any(line["event"] == "sent" for line in process.log)
            await process.interrupt()
        with gateway(secured, broker_tls=True, broker_ca=ours, drain_s=0.1) as process:
            await until_logged(process, "sent")
            await process.interrupt()
