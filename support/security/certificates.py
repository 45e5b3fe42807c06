"""The certificates in use: who presents which, and which are in the files of the servers and of the application."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from support import sql
from support.security.checks import Validity
from support.security.logins import ways_in
from support.target import dcs, etcd
from support.target.certificates import Certificate, in_pem, presented, presented_by_postgres
from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_in_parallel
from support.target.topology import Address

_FILE = "SELECT pg_read_binary_file(current_setting('ssl_cert_file'))"
Certificates = Mapping[str, Certificate | NoAnswer]
"""Where -> the certificate."""


def in_use(cluster: Cluster) -> Certificates:
    """Every certificate on which clients of the cluster rely: those of all servers, and the application's own.

    If the application trusts several authorities, only those on which the servers' certificates depend are included.
    """
    servers = {**_of_postgres(cluster), **_of_others(cluster)}
    found: dict[str, Certificate | NoAnswer] = dict(ask_in_parallel(servers, lambda name: servers[name]()))
    for option, whose in (("sslrootcert", "the authority that the application trusts"), ("sslcert", "the application")):
        file = cluster.topology.options.get(option, "")
        if file and Path(file).is_file():
            own = in_pem(Path(file).read_bytes())
            if option == "sslrootcert":
                own = relied_on(own, list(known(found).values()))
            found |= {f"{whose} ({one.subject})" if len(own) > 1 else whose: one for one in own}
    return found


def relied_on(trusted: Sequence[Certificate], presented: Collection[Certificate]) -> tuple[Certificate, ...]:
    """The trusted authorities on which the presented certificates depend: their issuers, and those above them.

    A file may contain many more; an unused one may expire. If no trusted authority is known to have issued anything
    (there may be intermediate ones), returns the one that expires last.
    """
    issuers, chosen = {one.issuer for one in presented}, list[Certificate]()
    latest = {one.subject: one for one in sorted(trusted, key=lambda one: one.expires)}  # older ones have been renewed
    while new := [one for one in latest.values() if one.subject in issuers and one not in chosen]:
        chosen += new
        issuers |= {one.issuer for one in new}
    return tuple(one for one in trusted if one in chosen) or (max(trusted, key=lambda one: one.expires),)


def of_members(cluster: Cluster) -> Certificates:
    """What each member's PostgreSQL presents."""
    members = {one.name: one for one in ways_in(cluster, "member")}
    return ask_in_parallel(members, lambda name: presented_by_postgres(members[name]))


def in_members_files(cluster: Cluster) -> Certificates:
    """The certificate in the file that each member's PostgreSQL is configured with, read by PostgreSQL as a superuser.

    By the same names as in `of_members`.
    """
    members = {cluster.of_member(one.name).name: one.name for one in cluster.topology.members if not one.unreached}

    def read(name: str) -> Certificate:
        content: bytes = sql.value(cluster.administration_of(members[name]), _FILE)
        return in_pem(bytes(content))[0]

    return ask_in_parallel(members, read)


def _of_postgres(cluster: Cluster) -> dict[str, Callable[[], Certificate]]:
    if cluster.topology.options.get("sslmode") not in ("require", "verify-ca", "verify-full"):
        return {}
    ways = {str(one): one for where in ("endpoint", "member") for one in ways_in(cluster, where)}
    return {name: lambda way=way: presented_by_postgres(way) for name, way in ways.items()}  # type: ignore[misc]


def _of_others(cluster: Cluster) -> dict[str, Callable[[], Certificate]]:
    """The components beside PostgreSQL that are reached by TLS."""
    topology, found = cluster.topology, dict[str, Address]()
    if etcd.Access.of(topology).scheme == "https":
        found |= {f"{dcs.kind(topology)} at {address}": address for address in topology.dcs}
    if topology.patroni_access.scheme == "https":
        found |= {f"Patroni's REST API of {one.name}": one.rest for one in topology.members if one.rest}
    if topology.redis is not None and topology.redis.tls is not None:
        found |= {f"Redis at {address}": address for address in topology.redis.addresses}
    page = urlsplit(topology.statistics.url if topology.statistics else "")
    if page.scheme == "https" and page.hostname:
        found["HAProxy's statistics page"] = Address(page.hostname, page.port or 443)
    return {name: lambda at=at: presented(at) for name, at in found.items()}  # type: ignore[misc]


def validity(certificates: Certificates) -> dict[str, Validity]:
    """How long each is valid from now on."""
    now = datetime.now(UTC)
    days = {name: (one.expires - now) / timedelta(days=1) for name, one in known(certificates).items()}
    unknown = {name: Validity(unknown=why) for name, why in unread(certificates).items()}
    return {name: Validity(left) for name, left in days.items()} | unknown


def known(certificates: Certificates) -> dict[str, Certificate]:
    """Those that could be read."""
    return {name: one for name, one in certificates.items() if not isinstance(one, NoAnswer)}


def fingerprints(certificates: Certificates) -> dict[str, str]:
    """Those of all that are known."""
    return {name: one.fingerprint for name, one in known(certificates).items()}


def unread(certificates: Certificates) -> dict[str, str]:
    """Why each of the others is not known."""
    return {name: str(one) for name, one in certificates.items() if isinstance(one, NoAnswer)}
