"""One attempt to log in."""

import enum
import hashlib
import struct
from dataclasses import dataclass

from support import sql
from support.cluster.login.scram import ScramClient
from support.cluster.login.wire import Wire, error_fields, text, wire
from support.errors import NotAvailable

_READY, _ERROR, _AUTHENTICATION = b"Z", b"E", b"R"
_PASSWORD, _TERMINATE = b"p", b"X"


class _Request(enum.IntEnum):
    """What the server may want next; NOTHING when it has seen enough."""

    NOTHING = 0
    CLEARTEXT = 3
    MD5 = 5
    SASL = 10
    SASL_CONTINUE = 11
    SASL_FINAL = 12


_METHODS = {_Request.CLEARTEXT: "the password in the clear", _Request.MD5: "an MD5 hash", _Request.SASL: "SCRAM"}


@dataclass(frozen=True)
class Answer:
    """How a server met a login."""

    asked_for: str
    """What it wanted as proof: "nothing", "the password in the clear", "an MD5 hash" or "SCRAM"."""
    believed: bool
    """It took the proof for good (or asked for none): from there on, only what the role may do could stop it."""
    refusal: str = ""
    """The SQLSTATE with which it refused; empty when it opened a session."""
    words: str = ""
    """What it said when it refused."""


def log_in(endpoint: sql.Endpoint, *, replication: bool = False) -> Answer:
    """Try a login, for an ordinary session or for one that streams WAL, and leave again.

    Raises OSError when there was no answer: nothing listens, it does not speak, or it hangs up without a word.
    """
    parameters = {"user": endpoint.user, "database": endpoint.database}
    with wire(endpoint) as opened:
        opened.start({**parameters, "replication": "true"} if replication else parameters)
        return _converse(opened, endpoint)


def salt(endpoint: sql.Endpoint) -> str:
    """With what the server salts that role's password; empty where it does not ask for SCRAM.

    Only servers with one database system have the same: it is kept with the password, and is made up, for a role that
    is not there, of a secret which a system gets when it is created. Raises OSError when there is no answer.
    """
    first = ScramClient("").first.encode()
    with wire(endpoint) as opened:
        opened.start({"user": endpoint.user, "database": endpoint.database})
        for kind, body in opened.messages():
            if kind != _AUTHENTICATION:
                return ""
            match _request(endpoint, body):
                case _Request.SASL:
                    opened.send(_PASSWORD, text("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first)
                case _Request.SASL_CONTINUE:
                    return dict(part.split("=", 1) for part in body[4:].decode().split(",")).get("s", "")
                case _:
                    return ""
    return ""


def _converse(opened: Wire, endpoint: sql.Endpoint) -> Answer:
    asked_for, believed, scram = "nothing", False, ScramClient(endpoint.password)
    for kind, body in opened.messages():
        if kind == _ERROR:
            said = error_fields(body)
            return Answer(asked_for, believed, said["C"], said["M"])
        if kind == _READY:
            opened.send(_TERMINATE, b"")
            return Answer(asked_for, believed)
        if kind == _AUTHENTICATION:
            request = _request(endpoint, body)
            asked_for, believed = _METHODS.get(request, asked_for), request is _Request.NOTHING
            if proof := _proof(request, endpoint, scram, body[4:]):
                opened.send(_PASSWORD, proof)
    raise ConnectionError(f"{endpoint.name} ({endpoint.host}:{endpoint.port}) hung up without a word")


def _request(endpoint: sql.Endpoint, body: bytes) -> _Request:
    (number,) = struct.unpack("!i", body[:4])
    try:
        return _Request(number)
    except ValueError:
        raise NotAvailable(f"{endpoint.name} asks for a kind of login that is not spoken here ({number})") from None


def _proof(request: _Request, endpoint: sql.Endpoint, scram: ScramClient, asked: bytes) -> bytes:
    """What to send in answer to a request; empty when it wants nothing."""
    match request:
        case _Request.CLEARTEXT:
            return text(endpoint.password)
        case _Request.MD5:
            inner = hashlib.md5(f"{endpoint.password}{endpoint.user}".encode()).hexdigest()
            return text("md5" + hashlib.md5(inner.encode() + asked).hexdigest())
        case _Request.SASL:
            first = scram.first.encode()
            return text("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first
        case _Request.SASL_CONTINUE:
            return scram.final(asked.decode()).encode()
        case _:
            return b""
