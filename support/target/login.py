"""One attempt to log in to PostgreSQL, message by message, to see which proof the server demands and what it answers.

libpq does not tell these. Below: the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677, without channel binding), a
connection that speaks PostgreSQL's protocol, with TLS where the server offers it, and the login itself.
"""

import enum
import hashlib
import hmac
import secrets
import socket
import ssl
import stringprep
import struct
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from support import libpq, sql
from support.errors import ConnectFailed
from support.timeouts import CONNECT

_HEADER = "n,,"
_ALGORITHM = "sha256"


def prepared(password: str) -> str:
    """A password as SCRAM uses it: prepared by SASLprep (RFC 4013), or unchanged if SASLprep forbids it.

    Like PostgreSQL's client and server, this checks for prohibited characters before the normalization.
    """
    spaced = (" " if stringprep.in_table_c12(one) else one for one in password)  # first: U+200B is in both tables
    mapped = "".join(one for one in spaced if not stringprep.in_table_b1(one))
    right_to_left = any(map(stringprep.in_table_d1, mapped))
    ends_alike = not right_to_left or (stringprep.in_table_d1(mapped[0]) and stringprep.in_table_d1(mapped[-1]))
    mixed = right_to_left and any(map(stringprep.in_table_d2, mapped))
    if not mapped or mixed or not ends_alike or any(table(one) for one in mapped for table in _PROHIBITED):
        return password
    return unicodedata.normalize("NFKC", mapped)


_PROHIBITED = (
    *(stringprep.in_table_a1, stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3),
    *(stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7),
    *(stringprep.in_table_c8, stringprep.in_table_c9),
)


class ScramClient:
    """One login by SCRAM. PostgreSQL takes the user from the connection, and ignores the one in these messages."""

    def __init__(self, password: str, user: str = "", nonce: str | None = None) -> None:
        self._password = prepared(password)
        self._bare = f"n={user},r={nonce or secrets.token_urlsafe(18)}"

    @property
    def first(self) -> str:
        """The client's first message."""
        return _HEADER + self._bare

    def final(self, challenge: str) -> str:
        """The client's proof, in answer to the server's challenge."""
        asked = dict(part.split("=", 1) for part in challenge.split(","))
        without_proof = f"c={b64encode(_HEADER.encode()).decode()},r={asked['r']}"
        salted = hashlib.pbkdf2_hmac(_ALGORITHM, self._password.encode(), b64decode(asked["s"]), int(asked["i"]))
        key = hmac.digest(salted, b"Client Key", _ALGORITHM)
        conversation = ",".join((self._bare, challenge, without_proof)).encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), conversation, _ALGORITHM)
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        return f"{without_proof},p={b64encode(proof).decode()}"


_PROTOCOL_3_0 = 196608
_SSL_REQUEST = 80877103


USUAL_AUTHORITY = "~/.postgresql/root.crt"
"""Where libpq looks for the authorities that it trusts, if nothing else is said."""
_USUAL_REVOCATIONS = "~/.postgresql/root.crl"
"""And for a certificate revocation list."""

_USUAL_PROOF = (("cert", "~/.postgresql/postgresql.crt"), ("key", "~/.postgresql/postgresql.key"))
"""And for the client's own certificate and its key."""


class NoTls(ConnectFailed):
    """A server offers no TLS, although the login's sslmode needs it."""


class Connection:
    """A connection that speaks PostgreSQL's protocol. Every failure of it is an OSError."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self.encrypted = isinstance(stream, ssl.SSLSocket)

    def start(self, parameters: Mapping[str, str]) -> None:
        """Send the first message: user, database and further parameters."""
        words = b"".join(_text(word) for pair in parameters.items() for word in pair)
        self.send(b"", struct.pack("!i", _PROTOCOL_3_0) + words + b"\0")

    def send(self, kind: bytes, body: bytes) -> None:
        self._stream.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Kind and body of each message of the server, until it closes the connection."""
        while kind := self._stream.recv(1):
            (length,) = struct.unpack("!i", self._exactly(4))
            yield kind, self._exactly(length - 4)

    def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            more = self._stream.recv(count - len(received))
            if not more:
                raise ConnectionError("the server closed the connection in the middle of a message")
            received += more
        return received


@contextmanager
def _connected(endpoint: sql.Endpoint) -> Iterator[Connection]:
    """A connection, closed at the end. It uses TLS as `sslmode` says; by default, where the server offers it."""
    mode = endpoint.options.get("sslmode", "prefer")
    with _stream_to(endpoint) as stream:
        if mode in ("disable", "allow") or libpq.is_socket(endpoint.host) or not _expects_tls(stream, endpoint):
            if mode in ("require", "verify-ca", "verify-full") and not libpq.is_socket(endpoint.host):
                raise NoTls(f"{endpoint.name} offers no TLS, and sslmode={mode} needs it")
            yield Connection(stream)
        else:
            with unverified_tls(endpoint.options).wrap_socket(stream, server_hostname=endpoint.host) as secured:
                yield Connection(secured)


def _other_way(endpoint: sql.Endpoint, encrypted: bool) -> sql.Endpoint | None:
    """How libpq retries a login that the server refused; None if it does not. `encrypted`: whether the first try was.

    pg_hba.conf may allow a login only with TLS, or only without.
    """
    other = {("allow", False): "require", ("prefer", True): "disable"}
    mode = other.get((endpoint.options.get("sslmode", "prefer"), encrypted))
    if mode is None or libpq.is_socket(endpoint.host):
        return None
    return replace(endpoint, options={**endpoint.options, "sslmode": mode})


def _stream_to(endpoint: sql.Endpoint) -> socket.socket:
    """A connection to the endpoint's first host, where libpq would connect to."""
    return libpq.stream_to(endpoint.options.get("hostaddr") or endpoint.host, endpoint.port, CONNECT)


def certificate_error(endpoint: sql.Endpoint) -> str:
    """OpenSSL's reason why a client that verifies as the endpoint's sslmode says rejects the certificate; else empty.

    libpq's own message does not name the reason. Raises OSError when there is no answer, NoTls when the server offers
    no TLS.
    """
    authority = endpoint.options.get("sslrootcert") or str(Path(USUAL_AUTHORITY).expanduser())
    context = ssl.create_default_context(cafile=None if authority == "system" else authority)
    context.check_hostname = endpoint.options.get("sslmode") == "verify-full"
    if authority != "system":  # with the system's authorities, libpq reads no certificate revocation list
        _reject_revoked(context, endpoint.options)
    _introduce(context, endpoint.options)
    with encryptable_stream(endpoint) as stream:
        try:
            with context.wrap_socket(stream, server_hostname=endpoint.host):
                return ""
        except ssl.SSLCertVerificationError as error:
            return error.verify_message


def _reject_revoked(context: ssl.SSLContext, options: Mapping[str, str]) -> None:
    """Reject revoked certificates, as libpq does if it can read a certificate revocation list."""
    file, folder = options.get("sslcrl"), options.get("sslcrldir")
    if not (file or folder):
        file = str(Path(_USUAL_REVOCATIONS).expanduser())
    with suppress(OSError):
        context.load_verify_locations(file or None, folder or None)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


@contextmanager
def encryptable_stream(endpoint: sql.Endpoint) -> Iterator[socket.socket]:
    """A connection on which the server waits for TLS to begin. Raises OSError, or NoTls when the server offers none."""
    with _stream_to(endpoint) as stream:
        if not _expects_tls(stream, endpoint):
            raise NoTls(f"{endpoint.name} offers no TLS")
        yield stream


def _text(word: str) -> bytes:
    """A string as the protocol encodes it."""
    return word.encode() + b"\0"


def _error_fields(body: bytes) -> dict[str, str]:
    """The fields of an error message: C is the SQLSTATE, M the message."""
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def offers_tls(endpoint: sql.Endpoint) -> bool:
    """Whether the server offers TLS. Raises OSError when there is no answer."""
    with _stream_to(endpoint) as stream:
        return _offers_tls(stream)


def _expects_tls(stream: socket.socket, endpoint: sql.Endpoint) -> bool:
    """Whether the server waits for TLS to begin now: with sslnegotiation=direct it does, unasked."""
    return _is_direct(endpoint.options) or _offers_tls(stream)


def _is_direct(options: Mapping[str, str]) -> bool:
    return options.get("sslnegotiation") == "direct"


def _introduce(context: ssl.SSLContext, options: Mapping[str, str]) -> None:
    """What the client says of itself in the handshake: its certificate, and that PostgreSQL's protocol follows.

    A server has to be told the protocol if it was not asked for TLS.
    """
    if own := own_certificate(options):
        context.load_cert_chain(*own, options.get(libpq.KEY_PASSWORD, ""))
    if _is_direct(options):
        context.set_alpn_protocols(["postgresql"])


def _offers_tls(stream: socket.socket) -> bool:
    stream.sendall(struct.pack("!ii", 8, _SSL_REQUEST))
    answer = stream.recv(1)
    if not answer:
        raise ConnectionError("the server closed the connection without an answer")
    return answer == b"S"


def own_certificate(options: Mapping[str, str]) -> tuple[str, str | None] | None:
    """The files of the client certificate and its key that libpq would send; None where it would send none.

    Without a name, it takes those in its usual place. The key is None where it is in the certificate's file.
    """
    certificate, key = (options.get(f"ssl{name}") or str(Path(file).expanduser()) for name, file in _USUAL_PROOF)
    if options.get("sslcertmode") == "disable" or not (options.get("sslcert") or Path(certificate).is_file()):
        return None
    return certificate, key if options.get("sslkey") or Path(key).is_file() else None


def unverified_tls(options: Mapping[str, str]) -> ssl.SSLContext:
    """TLS as a login with these parameters uses it, except that the server is not verified.

    Raises OSError if the files of the client's certificate cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _introduce(context, options)
    return context


_READY, _ERROR, _AUTHENTICATION = b"Z", b"E", b"R"
_PASSWORD, _TERMINATE = b"p", b"X"


class _Request(enum.IntEnum):
    """What the server may demand next; NOTHING once the login is accepted, OTHER for a proof that is not given here."""

    OTHER = -1
    NOTHING = 0
    CLEARTEXT = 3
    MD5 = 5
    SASL = 10
    SASL_CONTINUE = 11
    SASL_FINAL = 12


_SCRAM = "SCRAM-SHA-256"
_METHODS = {_Request.CLEARTEXT: "the password in the clear", _Request.MD5: "an MD5 hash", _Request.SASL: "SCRAM"}
PASSWORDS = frozenset(_METHODS.values())
"""Proofs that are given here."""
_NOT_GIVEN_HERE = {2: "Kerberos V5", 7: "GSSAPI", 9: "SSPI"}
TICKETS = frozenset(_NOT_GIVEN_HERE.values())
"""Proofs by a ticket of another server: no password crosses the network."""
_UNPROVED = "28000"  # invalid_authorization_specification


@dataclass(frozen=True)
class Answer:
    """A server's answer to a login."""

    asked_for: str
    """The proof that it demanded: "nothing", "the password in the clear", "an MD5 hash" or "SCRAM"; or another one that
    is not given here, such as "GSSAPI"."""
    authenticated: bool
    """The proof was accepted, or none demanded. The session may still have been refused, for lack of a privilege."""
    refusal: str = ""
    """The SQLSTATE with which it refused the session, or would have for lack of the proof; empty when it opened one."""
    words: str = ""
    """Its error message when it refused."""


def log_in(endpoint: sql.Endpoint, *, replication: bool = False, prove: bool = True) -> Answer:
    """Try a login, for an ordinary session or for replication, and disconnect.

    If the server demands a proof other than a password, that counts as a refusal. If it refuses the login and sslmode
    is `allow` or `prefer`, the other way (with or without TLS) is tried as well, as libpq does. Raises OSError if there
    is no answer: nothing listens, or the server stays silent or closes the connection. Raises NoTls if the server does
    not offer TLS although the endpoint's sslmode needs it.

    Without `prove`, any demand for a proof counts as a refusal. The login ends there, as that of a client without a
    password does: PostgreSQL checks none, so no role is locked out for too many wrong ones.
    """
    parameters = {"user": endpoint.user, "database": endpoint.database}
    with _connected(endpoint) as opened:
        opened.start({**parameters, "replication": "true"} if replication else parameters)
        answer, other = _converse(opened, endpoint, prove), _other_way(endpoint, opened.encrypted)
    if answer.authenticated or other is None:
        return answer
    try:
        second = log_in(other, replication=replication, prove=prove)
    except (NoTls, OSError):
        return answer
    # Of two refusals, one that checked the password says more than one by pg_hba.conf.
    return second if second.authenticated or answer.asked_for == "nothing" else answer


def salt(endpoint: sql.Endpoint) -> str:
    """The salt of that role's password; empty where the server does not ask for SCRAM.

    Two servers that give the same salt belong to the same database system: it is stored with the password, or, for a
    role that does not exist, derived from a secret that a system gets when it is created. Raises OSError when there is
    no answer.
    """
    # No secret is sent, so that a server without TLS can be asked as well.
    found = _salt_told(replace(endpoint, options={**endpoint.options, "sslmode": "prefer"}))
    with suppress(OSError):
        found = found or _salt_told(replace(endpoint, options={**endpoint.options, "sslmode": "disable"}))
    return found


def _salt_told(endpoint: sql.Endpoint) -> str:
    first = ScramClient("").first.encode()
    with _connected(endpoint) as opened:
        opened.start({"user": endpoint.user, "database": endpoint.database})
        for kind, body in opened.messages():
            if kind != _AUTHENTICATION:
                return ""
            match _request(body):
                case _Request.SASL:
                    opened.send(_PASSWORD, _text(_SCRAM) + struct.pack("!i", len(first)) + first)
                case _Request.SASL_CONTINUE:
                    return dict(part.split("=", 1) for part in body[4:].decode().split(",")).get("s", "")
                case _:
                    return ""
    return ""


def _converse(opened: Connection, endpoint: sql.Endpoint, prove: bool) -> Answer:
    asked_for, authenticated, scram = "nothing", False, ScramClient(endpoint.password)
    for kind, body in opened.messages():
        if kind == _ERROR:
            said = _error_fields(body)
            return Answer(asked_for, authenticated, said["C"], said["M"])
        if kind == _READY:
            opened.send(_TERMINATE, b"")
            return Answer(asked_for, authenticated)
        if kind == _AUTHENTICATION:
            request = _request(body)
            if request is _Request.OTHER:
                method = _other_method(body)
                return Answer(method, False, _UNPROVED, f"it asks for {method}, and only passwords are tried")
            asked_for, authenticated = _METHODS.get(request, asked_for), request is _Request.NOTHING
            if not (prove or authenticated):
                return Answer(asked_for, False, _UNPROVED, f"it asks for {asked_for}, and nothing was given")
            if proof := _proof(request, endpoint, scram, body[4:]):
                opened.send(_PASSWORD, proof)
    raise ConnectionError(f"{endpoint.name} ({endpoint.host}:{endpoint.port}) closed the connection without an answer")


def _request(body: bytes) -> _Request:
    (number,) = struct.unpack("!i", body[:4])
    if number == _Request.SASL and _SCRAM not in _mechanisms(body):
        return _Request.OTHER
    return _Request(number) if number in {*_Request} else _Request.OTHER


def _mechanisms(body: bytes) -> list[str]:
    """The SASL mechanisms that a server offers; PostgreSQL offers OAUTHBEARER alone where pg_hba.conf says `oauth`."""
    return [word.decode(errors="replace") for word in body[4:].split(b"\0") if word]


def _other_method(body: bytes) -> str:
    (number,) = struct.unpack("!i", body[:4])
    if number == _Request.SASL:
        return f"SASL ({', '.join(_mechanisms(body))})"
    return _NOT_GIVEN_HERE.get(number, f"authentication method {number}")


def _proof(request: _Request, endpoint: sql.Endpoint, scram: ScramClient, asked: bytes) -> bytes:
    """What to send in answer to a request; empty when nothing is demanded."""
    match request:
        case _Request.CLEARTEXT:
            return _text(endpoint.password)
        case _Request.MD5:
            inner = hashlib.md5(f"{endpoint.password}{endpoint.user}".encode()).hexdigest()
            return _text("md5" + hashlib.md5(inner.encode() + asked).hexdigest())
        case _Request.SASL:
            first = scram.first.encode()
            return _text(_SCRAM) + struct.pack("!i", len(first)) + first
        case _Request.SASL_CONTINUE:
            return scram.final(asked.decode()).encode()
        case _:
            return b""
