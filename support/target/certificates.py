"""Certificates: those that servers present, and those in files. Nothing is verified here (login.py does that)."""

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support import sql
from support.target import login
from support.target.topology import Address
from support.timeouts import CONNECT


@dataclass(frozen=True)
class Certificate:
    """One certificate."""

    content: x509.Certificate
    sent_along: tuple["Certificate", ...] = field(default=(), compare=False, repr=False)
    """What a server sent with it, in its order: authorities between it and the root."""

    @property
    def subject(self) -> str:
        return self.content.subject.rfc4514_string()

    @property
    def expires(self) -> datetime:
        """With its time zone, UTC."""
        return self.content.not_valid_after_utc

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal digits."""
        return self.content.fingerprint(SHA256()).hex()

    @property
    def authority(self) -> tuple[str, bytes]:
        """Its subject and its public key. An authority's certificate that was renewed has the same."""
        with suppress(UnsupportedAlgorithm, ValueError):
            key = self.content.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return self.subject, key
        return self.subject, self.fingerprint.encode()

    def issued_by(self, other: "Certificate") -> bool:
        """Whether it names the other one as its issuer, and was signed with that one's key.

        Where the signature cannot be verified here (the algorithm is not known, the name is encoded differently), the
        identifiers of the key tell.
        """
        if self.content.issuer.rfc4514_string().casefold() != other.subject.casefold():
            return False
        try:
            self.content.verify_directly_issued_by(other.content)
        except InvalidSignature:
            return False
        except (UnsupportedAlgorithm, TypeError, ValueError):
            needed = _key_identifier(self.content, x509.AuthorityKeyIdentifier)
            return bool(needed) and needed == _key_identifier(other.content, x509.SubjectKeyIdentifier)
        return True


def _key_identifier(
    content: x509.Certificate, kind: type[x509.AuthorityKeyIdentifier] | type[x509.SubjectKeyIdentifier]
) -> bytes | None:
    with suppress(x509.ExtensionNotFound, ValueError):
        return content.extensions.get_extension_for_class(kind).value.key_identifier
    return None


def presented(address: Address, own: tuple[str, str | None] | None = None) -> Certificate:
    """What a server presents that speaks TLS from the beginning. Raises OSError if it does not.

    `own` are the files of the client's certificate and its key: where a server demands one, and speaks TLS 1.2 at most,
    no handshake ends without.
    """
    context = login.unverified_tls({"sslcertmode": "disable"})
    if own:
        context.load_cert_chain(*own)
    with socket.create_connection((address.host, address.port), timeout=CONNECT) as stream:
        return _of_server(stream, address.host, context)


def presented_by_postgres(endpoint: sql.Endpoint) -> Certificate:
    """What PostgreSQL presents there. Raises OSError if nobody answers, NoTls if it offers no TLS."""
    with login.encryptable_stream(endpoint) as stream:
        return _of_server(stream, endpoint.host, login.unverified_tls(endpoint.options))


def _of_server(stream: socket.socket, host: str, context: ssl.SSLContext) -> Certificate:
    with context.wrap_socket(stream, server_hostname=host) as secured:
        own = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
        return Certificate(own, tuple(one for one in _sent(secured) if one.content != own))


def _sent(secured: ssl.SSLSocket) -> tuple[Certificate, ...]:
    """All that a server sent. Before Python 3.13, only the object behind the socket tells."""
    sent = secured._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
    with suppress(ValueError):  # the server's own was read
        return in_pem("".join(one.public_bytes() for one in sent).encode())
    return ()


def in_pem(text: bytes) -> tuple[Certificate, ...]:
    """The certificates in a file: the server's own first, then those of the authorities between it and the root.

    Raises ValueError if there is none.
    """
    return tuple(map(Certificate, x509.load_pem_x509_certificates(text)))
