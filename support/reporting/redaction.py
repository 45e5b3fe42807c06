"""Nothing that a run leaves behind tells a password."""

import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "••••••"

SHORTEST = 4
"""Characters. What is shorter is found in every other word: masking it would garble the report and hide nothing."""


class Redactor:
    """Masks known secrets wherever they stand, also as they stand in an address or in JSON."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        known = {form for secret in secrets if secret and len(secret) >= SHORTEST for form in _forms(secret)}
        self._secrets = tuple(sorted(known, key=len, reverse=True))  # the longest first: one may hold another

    def mask(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def mask_bytes(self, content: bytes) -> bytes:
        """The same for a file, whatever is in it."""
        for secret in self._secrets:
            content = content.replace(secret.encode(), MASK.encode())
        return content


def _forms(secret: str) -> set[str]:
    """As it is, within JSON (with and without letters beyond ASCII), within a URL, within a libpq string."""
    in_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    in_libpq = secret.replace("\\", "\\\\").replace("'", "\\'")
    return {secret, *in_json, quote(secret, safe=""), quote(secret), quote_plus(secret), in_libpq}
