"""HTTP with TLS: how Patroni's REST APIs and HAProxy's page are asked, and what to change when that does not work."""

import re
from collections.abc import Sequence
from pathlib import Path

from support.errors import UsageError
from support.settings import Settings, variable_of
from support.target.topology import WebAccess

_HTTPS = "https://"


def of_patroni(settings: Settings) -> WebAccess:
    """How the REST APIs are asked. Raises UsageError for a file that is missing, and for half a certificate."""
    given = (settings.patroni_ctl_cacert, settings.patroni_ctl_certfile, settings.patroni_ctl_keyfile)
    authority, certificate, key = (
        _file(name, file)
        for name, file in zip(("patroni_ctl_cacert", "patroni_ctl_certfile", "patroni_ctl_keyfile"), given, strict=True)
    )
    if key and not certificate:
        raise UsageError("PATRONI_CTL_KEYFILE is the key of a certificate: give that, too, as PATRONI_CTL_CERTFILE")
    secure = any(given) or any(host.startswith(_HTTPS) for host in settings.patroni_hosts)
    return WebAccess("https" if secure else "http", authority, certificate, key or certificate)


def authority_of_page(settings: Settings) -> str:
    """The file of the authority that signed the certificate of HAProxy's page; empty if none was given."""
    return _file("haproxy_stats_cacert", settings.haproxy_stats_cacert)


def _file(name: str, file: Path | None) -> str:
    if file is not None and not file.is_file():
        raise UsageError(f"{variable_of(name)} is {str(file)!r}: there is no such file on this machine")
    return str(file) if file else ""


def address(host: str) -> str:
    """A host as it was given, without https:// in front of it."""
    return host.removeprefix(_HTTPS)


def advice(reasons: Sequence[str], access: WebAccess, otherwise: str = "check PATRONI_HOSTS and PATRONI_PORT") -> str:
    """What to change when no Patroni answers, for these reasons; `otherwise` if none of them is about HTTP or TLS."""
    said = " ".join(reasons)
    if re.search("certificate.verify.failed|hostname|doesn't match", said, re.IGNORECASE):
        return "its certificate was rejected: check PATRONI_CTL_CACERT, and that PATRONI_HOSTS has the names in it"
    if access.scheme == "https" and re.search("wrong.version|record layer", said, re.IGNORECASE):
        return "it speaks plain HTTP: leave PATRONI_CTL_CACERT out, and https:// in PATRONI_HOSTS"
    if access.scheme == "https" and re.search("alert|EOF|reset|aborted|closed", said, re.IGNORECASE):
        return "it rejects this client: check PATRONI_CTL_CERTFILE and PATRONI_CTL_KEYFILE"
    if re.search("aborted|disconnected|BadStatusLine|reset", said, re.IGNORECASE):
        return "what answers does not speak HTTP: if it speaks HTTPS, set PATRONI_CTL_CACERT"
    return otherwise
