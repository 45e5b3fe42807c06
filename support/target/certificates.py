"""Certificates: those that servers present, and those in files. Nothing is verified here (login.py does that)."""

import socket
import ssl
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from support import sql
from support.target import login
from support.target.topology import Address
from support.timeouts import CONNECT


@dataclass(frozen=True)
class Certificate:
    """One certificate."""

    subject: str
    expires: datetime
    """With its time zone, UTC."""
    fingerprint: str
    """SHA-256, in hexadecimal digits."""
    issuer: str = ""
    """The subject of the issuing authority."""


def presented(address: Address) -> Certificate:
    """What a server presents that speaks TLS from the beginning. Raises OSError if it does not."""
    with socket.create_connection((address.host, address.port), timeout=CONNECT) as stream:
        return _of_server(stream, address.host)


def presented_by_postgres(endpoint: sql.Endpoint) -> Certificate:
    """What PostgreSQL presents there. Raises OSError if nobody answers, NoTls if it offers no TLS."""
    with login.encryptable_stream(endpoint) as stream:
        return _of_server(stream, endpoint.host)


def _of_server(stream: socket.socket, host: str) -> Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(stream, server_hostname=host) as secured:
        return _facts(x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b""))


def in_pem(text: bytes) -> tuple[Certificate, ...]:
    """The certificates in a file: the server's own first, then those of the authorities between it and the root.

    Raises ValueError if there is none.
    """
    return tuple(map(_facts, x509.load_pem_x509_certificates(text)))


def _facts(found: x509.Certificate) -> Certificate:
    fingerprint, issuer = found.fingerprint(SHA256()).hex(), found.issuer.rfc4514_string()
    return Certificate(found.subject.rfc4514_string(), found.not_valid_after_utc, fingerprint, issuer)
