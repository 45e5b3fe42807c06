"""The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding."""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode

_HEADER = "n,,"
_ALGORITHM = "sha256"


class ScramClient:
    """One login. PostgreSQL takes the user from the connection and ignores the one in here."""

    def __init__(self, password: str, user: str = "", nonce: str | None = None) -> None:
        self._password = password
        self._bare = f"n={user},r={nonce or secrets.token_urlsafe(18)}"

    @property
    def first(self) -> str:
        """What the client says first."""
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
