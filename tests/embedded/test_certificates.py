"""The certificates of an embedded cluster, as OpenSSL judges them in a handshake."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.embedded.certificates import Authority, Issued, hosts_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "own")


def handshake(trusted: Authority, presented: Issued, host: str, directory: Path) -> str:
    """Why a client that trusts that authority rejects the certificate; empty if it accepts it."""
    files = (directory / "server.crt", directory / "server.key")
    for file, text in zip(files, (presented.certificate, presented.key), strict=True):
        file.write_text(text)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*files)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(trusted.certificate))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    client = context.wrap_bio(to_client, to_server, server_hostname=host)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    assert client.version() == "TLSv1.3"
    return ""


@pytest.mark.parametrize("host", ["pg1", "10.77.0.21", "localhost"])
def test_a_certificate_is_accepted_for_each_of_its_hosts(authority: Authority, host: str, tmp_path: Path) -> None:
    assert handshake(authority, authority.issue(["pg1", "10.77.0.21", "localhost"]), host, tmp_path) == ""


def test_one_for_another_host_is_rejected(authority: Authority, tmp_path: Path) -> None:
    assert "IP address mismatch" in handshake(authority, authority.issue(["elsewhere"]), "10.77.0.21", tmp_path)


def test_one_that_has_expired_is_rejected(authority: Authority, tmp_path: Path) -> None:
    old = authority.issue(["pg1"], until=datetime.now(UTC) - timedelta(minutes=1))
    assert handshake(authority, old, "pg1", tmp_path) == "certificate has expired"


def test_one_by_another_authority_is_rejected(authority: Authority, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", "another authority")
    assert handshake(authority, other.issue(["pg1"]), "pg1", tmp_path) == "unable to get local issuer certificate"


def test_the_hosts_of_a_certificate_can_be_read(authority: Authority) -> None:
    assert hosts_of(authority.issue(["pg1", "10.77.0.21"]).certificate) == ["pg1", "10.77.0.21"]


def test_only_the_owner_can_read_the_authoritys_key(authority: Authority) -> None:
    assert (authority.directory / "authority.key").stat().st_mode & 0o777 == 0o600
