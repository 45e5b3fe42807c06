"""The certificate authority of an embedded cluster, and the certificates that it issues to the members.

Everything is made afresh for each cluster. `cryptography` does the work: https://cryptography.io/en/latest/x509/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.files import write_private

CERTIFICATE, KEY = "authority.pem", "authority.key"
"""Its files. Clients need the first one; nobody but its owner reads the second."""
CLIENT_CERTIFICATE, CLIENT_KEY = "client.crt", "client.key"
"""The files of the certificate with which the suite, and the cluster's own programs, show who they are."""
_SKEW = timedelta(hours=1)
"""Certificates are valid from so long ago, as clocks differ."""
_PURPOSES = [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
"""A server is a client of its peers, too; etcd's gateway even of itself."""
VALID = timedelta(days=30)
"""How long certificates are valid. No embedded cluster lives that long."""


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key, both as PEM."""

    certificate: str
    key: str


@dataclass(frozen=True)
class Authority:
    """A certificate authority, which is kept in a directory."""

    directory: Path

    @classmethod
    def create(cls, directory: Path, name: str = "the embedded cluster's authority") -> "Authority":
        """Make one, and keep it there."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject, now = _named(name), datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + VALID)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        made = cls(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_private(directory / KEY, _key_as_text(key))
        made.certificate.write_text(_as_text(certificate), encoding="ascii")
        return made

    @property
    def certificate(self) -> Path:
        """The file with its certificate, which whoever trusts it needs."""
        return self.directory / CERTIFICATE

    @property
    def client(self) -> tuple[Path, Path]:
        """The files of the client's certificate and its key; see `issue_client`."""
        return self.directory / CLIENT_CERTIFICATE, self.directory / CLIENT_KEY

    def issue_client(self) -> None:
        """Make the client's certificate, beside the authority's own."""
        issued = self.issue(["client"])
        for file, text in zip(self.client, (issued.certificate, issued.key), strict=True):
            write_private(file, text)

    def issue(self, hosts: Sequence[str], *, until: datetime | None = None) -> Issued:
        """A certificate for a server that is reached by these names and IP addresses, or for a client of that name.

        `until` is when it expires; by default after VALID. Both times of one that has expired are in the past.
        """
        issuer = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        signs = serialization.load_pem_private_key((self.directory / KEY).read_bytes(), password=None)
        assert isinstance(signs, ec.EllipticCurvePrivateKey)
        key, expires = ec.generate_private_key(ec.SECP256R1()), until or datetime.now(UTC) + VALID
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(hosts[0]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(datetime.now(UTC), expires) - _SKEW)
            .not_valid_after(expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_PURPOSES), critical=False)
            .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signs.public_key()),
                critical=False,
            )
            .sign(signs, hashes.SHA256())
        )
        return Issued(_as_text(certificate), _key_as_text(key))


def hosts_of(certificate: str) -> list[str]:
    """The names and IP addresses that a certificate is for."""
    extensions = x509.load_pem_x509_certificate(certificate.encode("ascii")).extensions
    return [str(one.value) for one in extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _as_text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key_as_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")
