"""The certificates in use: who presents which, and which are in the files of the servers and of the application."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from support import sql
from support.engine.finding import listed
from support.errors import ConnectFailed
from support.security.checks import Validity
from support.security.survey import ways_in
from support.target import dcs, etcd
from support.target.certificates import Certificate, in_pem, presented, presented_by_postgres
from support.target.cluster import Cluster
from support.target.login import USUAL_AUTHORITY, own_certificate
from support.target.member_files import MemberFiles, certificate_files, files_of
from support.target.members import NoAnswer, ask_in_parallel
from support.target.redis import ERRORS, sentinels_of, servers_of
from support.target.topology import Address
from support.waiting import NotYet, describe

_REDIS = "Redis"
_NEED_TLS = ("require", "verify-ca", "verify-full")
_FILE = "SELECT pg_read_binary_file(current_setting('ssl_cert_file'))"
_DOUBT = (
    "it is not known whether the servers depend on them (not every PostgreSQL presents a chain to a trusted authority: "
    "does one not send its intermediate certificate?)"
)

_Files = tuple[str, str | None] | None
"""The files of a client's certificate and its key."""


@dataclass(frozen=True)
class Doubtful:
    """A certificate of which it is not known whether anything depends on it."""

    certificate: Certificate
    why: str


@dataclass(frozen=True)
class _Own:
    """The files of a client."""

    authorities: str | None
    certificate: str | None


@dataclass(frozen=True)
class _Server:
    """A server that presents a certificate."""

    read: Callable[[], Certificate]
    authorities: str | None
    """The file of the authorities that its clients trust; empty or None where they trust those of the system."""


Certificates = Mapping[str, Certificate | Doubtful | NoAnswer]
"""Where -> the certificate."""


def in_use(cluster: Cluster) -> Certificates:
    """Every certificate on which clients of the cluster rely: those of all servers, and the clients' own.

    The clients are the application and, where their files can be read, the members. If the application trusts several
    authorities, only those on which the servers' certificates depend are included; of the intermediate certificates
    that a server sends, those that its clients need.
    """
    own, redis = _files_of_application(cluster.topology.options), cluster.topology.redis
    postgres, others = _of_postgres(cluster, own.authorities), _of_others(cluster)
    servers = postgres | others
    found: dict[str, Certificate | Doubtful | NoAnswer] = dict(
        ask_in_parallel(servers, lambda name: servers[name].read())
    )
    presented = known(found)
    of_postgres, of_others = ([one for name, one in presented.items() if name in part] for part in (postgres, others))
    found |= _intermediates(presented, servers)
    found |= _in_file(own.authorities, "the authority that the application trusts", of_postgres, of_others)
    found |= _in_file(own.certificate, "the application")
    if redis is not None and redis.tls is not None:
        of_redis = [one for name, one in presented.items() if name.startswith(_REDIS)]
        found |= _in_file(redis.tls.authorities, "the authority that the application trusts for Redis", (), of_redis)
        found |= _in_file(redis.tls.certificate, "the application, for Redis")
    found |= _of_members_as_clients(cluster)
    return found


def of_peers(cluster: Cluster) -> Certificates:
    """What each member of etcd presents to the others."""
    topology = cluster.topology
    try:
        peers = etcd.secured_peers(topology)
    except NotYet as error:
        return {"etcd, to its own members": NoAnswer.because(error)}
    places = {f"etcd's {name} at {address}": address for name, there in peers.items() for address in there}
    files = etcd.Access.of(topology).files
    return ask_in_parallel(places, lambda name: presented(places[name], files))


def _of_members_as_clients(cluster: Cluster) -> Certificates:
    """Those with which members log in to one another and to the DCS, as the files of their Patroni name them."""
    if "member_files" in cluster.topology.lacks:
        return {}
    members = [one.name for one in cluster.topology.members if one.rest]
    files = {member: files_of(cluster.site.hosts[member]) for member in members}
    read = ask_in_parallel(files, lambda member: _named_in(files[member], member))
    found = dict[str, Certificate | Doubtful | NoAnswer]()
    for member, there in read.items():
        if isinstance(there, NoAnswer):
            found[f"what Patroni of {member} is configured with"] = there
        else:
            found |= there
    return found


def _named_in(files: MemberFiles, member: str) -> dict[str, Certificate]:
    """A file that is not there is passed over, as libpq does, too."""
    found = dict[str, Certificate]()
    for file in certificate_files(files.configuration()):
        if content := files.read(file):
            inside, whose = in_pem(content), f"{file} of {member}"
            found |= {f"{whose} ({_named(one)})" if len(inside) > 1 else whose: one for one in inside}
    return found


def _files_of_application(options: Mapping[str, str]) -> _Own:
    """The files that libpq uses: the ones that are named, or, where it needs TLS, the ones in their usual places."""
    if options.get("sslmode") not in _NEED_TLS:
        return _Own(options.get("sslrootcert"), options.get("sslcert"))
    own = own_certificate(options)
    return _Own(options.get("sslrootcert") or str(Path(USUAL_AUTHORITY).expanduser()), own[0] if own else None)


def _intermediates(presented: Mapping[str, Certificate], servers: Mapping[str, _Server]) -> dict[str, Certificate]:
    """The intermediate certificates that clients need of what servers send; each once, even if several send it."""
    senders = dict[Certificate, list[str]]()
    for name, one in presented.items():
        for needed in needed_intermediates(one, _authorities_in(servers[name].authorities)):
            senders.setdefault(needed, []).append(name)
    return {
        f"the intermediate certificate ({_named(one)}) sent by {listed(names)}": one for one, names in senders.items()
    }


def _authorities_in(file: str | None) -> Sequence[Certificate]:
    return in_pem(Path(file).read_bytes()) if file and Path(file).is_file() else ()


def _in_file(
    file: str | None,
    whose: str,
    of_postgres: Collection[Certificate] | None = None,
    of_others: Collection[Certificate] = (),
) -> dict[str, Certificate | Doubtful]:
    """The certificates in a file, if there is such a file; of authorities, those on which what is presented depends."""
    if not file or not Path(file).is_file():
        return {}
    own: Sequence[Certificate | Doubtful] = (inside := in_pem(Path(file).read_bytes()))
    if of_postgres is not None:
        own = relied_on(inside, of_postgres, of_others)
    return {f"{whose} ({_named(one)})" if len(own) > 1 else whose: one for one in own}


def _named(one: Certificate | Doubtful) -> str:
    """By its fingerprint, too: an authority with a new key has the name of the one with the old key."""
    read = one.certificate if isinstance(one, Doubtful) else one
    return f"{read.subject}, {read.fingerprint[:16]}"


def relied_on(
    trusted: Sequence[Certificate], of_postgres: Collection[Certificate], of_others: Collection[Certificate] = ()
) -> Sequence[Certificate | Doubtful]:
    """The trusted authorities on which what is presented depends: those that issued it, and those above them.

    A file may contain many more, and one that nobody uses any more may end. Of one that was renewed, the one that
    expires last counts. If nothing trusted leads to what a PostgreSQL presents, as when it does not send the authority
    in between, each of the others is in doubt. If no PostgreSQL presents anything, the one that is valid for longest
    stands for all.
    """
    current = _current(trusted)
    above_postgres = [_above(one, current) for one in of_postgres]
    chosen = {one for found in (*above_postgres, *(_above(one, current) for one in of_others)) for one in found}
    if len(current) == 1 or not (of_postgres or chosen):
        return (max(current, key=lambda one: one.expires),)
    in_doubt = () if all(above_postgres) else (Doubtful(one, _DOUBT) for one in current if one not in chosen)
    return (*(one for one in current if one in chosen), *in_doubt)


def needed_intermediates(presented: Certificate, trusted: Sequence[Certificate]) -> Sequence[Certificate]:
    """Of the intermediate certificates that a server sends, those that lead to an authority that its clients trust."""
    current = _current(trusted)
    return [one for one in _chain(presented, current)[1:] if one not in current]


def _current(trusted: Sequence[Certificate]) -> Sequence[Certificate]:
    """Each authority once; of one that was renewed, the certificate that expires last."""
    renewed = {one.authority: one for one in sorted(trusted, key=lambda one: one.expires)}
    return [one for one in dict.fromkeys(trusted) if renewed[one.authority] == one]


def _above(presented: Certificate, trusted: Sequence[Certificate]) -> Sequence[Certificate]:
    """The trusted ones from what is presented up to the root."""
    return [one for one in _chain(presented, trusted) if one in trusted]


def _chain(presented: Certificate, trusted: Sequence[Certificate]) -> Sequence[Certificate]:
    """From what is presented up to the last trusted one; empty if it leads to none.

    A trusted one comes before one that the server sent, as in OpenSSL: then an older root, which once signed the root
    that is trusted, is not needed, even if the server still leads to it. Nor is the older one of an intermediate
    certificate that was renewed, if the server sends both.
    """
    renewed = {_issued(one): one for one in sorted(presented.sent_along, key=lambda one: one.expires)}
    candidates = [*trusted, *(renewed[_issued(one)] for one in presented.sent_along)]
    chain = [presented]
    while not chain[-1].issued_by(chain[-1]):
        ways = (one for one in candidates if one not in chain and chain[-1].issued_by(one))
        if (higher := next(ways, None)) is None:
            break
        chain.append(higher)
    while chain and chain[-1] not in trusted:
        chain.pop()
    return chain


def _issued(one: Certificate) -> tuple[object, ...]:
    """The same for a certificate and the one with which its issuer renewed it."""
    return one.authority, one.content.issuer


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


def _of_postgres(cluster: Cluster, authorities: str | None) -> dict[str, _Server]:
    if cluster.topology.options.get("sslmode") not in _NEED_TLS:
        return {}
    ways = {str(one): one for where in ("endpoint", "member") for one in ways_in(cluster, where)}
    return {name: _Server(partial(presented_by_postgres, way), authorities) for name, way in ways.items()}


def _of_others(cluster: Cluster) -> dict[str, _Server]:
    """The components beside PostgreSQL that are reached by TLS."""
    topology, found = cluster.topology, dict[str, _Server]()
    access, patroni, redis = etcd.Access.of(topology), topology.patroni_access, topology.redis
    files: _Files
    if access.scheme == "https":
        at = {f"{dcs.kind(topology)} at {address}": address for address in topology.dcs}
        found |= _speaking_tls(at, access.files, access.authority)
    if patroni.scheme == "https":
        files = (patroni.certificate, patroni.key or None) if patroni.certificate else None
        at = {f"Patroni's REST API of {one.name}": one.rest for one in topology.members if one.rest}
        found |= _speaking_tls(at, files, patroni.authority)
    if redis is not None and redis.tls is not None:
        files = (redis.tls.certificate, redis.tls.key) if redis.tls.certificate else None
        try:
            addresses = {one.address for one in (*servers_of(redis), *sentinels_of(redis))}
        except ERRORS as error:  # nobody tells which there are
            why = f"it is not known which servers of Redis there are: {describe(error)}"
            found[f"{_REDIS} (of all its servers)"] = _Server(partial(_unanswered, why), None)
            addresses = set(redis.addresses)
        at = {f"{_REDIS} at {address}": address for address in sorted(addresses, key=str)}
        found |= _speaking_tls(at, files, redis.tls.authorities)
    page = topology.statistics
    url = urlsplit(page.url if page else "")
    if page and url.scheme == "https" and url.hostname:
        at = {"HAProxy's statistics page": Address(url.hostname, url.port or 443)}
        found |= _speaking_tls(at, None, page.authority)
    return found


def _speaking_tls(at: Mapping[str, Address], files: _Files, authorities: str | None) -> dict[str, _Server]:
    """Servers that speak TLS from the beginning; `files` are their clients' own."""
    return {name: _Server(partial(presented, address, files), authorities) for name, address in at.items()}


def _unanswered(why: str) -> NoReturn:
    raise ConnectFailed(why)


def validity(certificates: Certificates) -> dict[str, Validity]:
    """How long each is valid from now on."""
    now = datetime.now(UTC)

    def of(one: Certificate | Doubtful | NoAnswer) -> Validity:
        match one:
            case NoAnswer():
                return Validity(unknown=str(one))
            case Doubtful(certificate, why):
                return Validity((certificate.expires - now) / timedelta(days=1), doubt=why)
            case _:
                return Validity((one.expires - now) / timedelta(days=1))

    return {name: of(one) for name, one in certificates.items()}


def known(certificates: Certificates) -> dict[str, Certificate]:
    """The certificates that could be read, and are in use."""
    return {name: one for name, one in certificates.items() if isinstance(one, Certificate)}


def fingerprints(certificates: Certificates) -> dict[str, str]:
    """The fingerprints of all certificates that are known."""
    return {name: one.fingerprint for name, one in known(certificates).items()}


def unread(certificates: Certificates) -> dict[str, str]:
    """Where -> why the certificate could not be read."""
    return {name: str(one) for name, one in certificates.items() if isinstance(one, NoAnswer)}
