"""Sabotages of TLS, on the cluster on which the scenarios about it run (see support/embedded/encrypted.py)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.embedded.certificates import Authority, Issued, hosts_of
from support.embedded.dcs import PEER_CERTIFICATE, PEER_KEY, SERVER_CERTIFICATE, SERVER_KEY
from support.embedded.encrypted import encrypted_cluster
from support.hosts import Host
from support.sabotage.damage import Damage, MakeDamage, nothing
from support.sabotage.own_hosts import host_of
from support.sabotage.sabotage import Sabotage, notices
from support.target import etcd
from support.target.certificates import Certificate, in_pem, presented, presented_by_postgres
from support.target.cluster import Cluster
from support.target.login import certificate_error, log_in, offers_tls
from support.target.member_files import files_of
from support.waiting import NotYet

NEEDS = frozenset({"tls"})
_STREAMING = "streaming.crt"
ACCESS, SETTINGS = "data/pg_hba.conf", "data/postgresql.auto.conf"
_RELOAD = 'kill -HUP "$(head -n 1 data/postmaster.pid)"'
_PLAIN_ACCESS = "host all all 0.0.0.0/0 scram-sha-256\n"
_TRUSTED_ACCESS = "hostnossl all postgres 0.0.0.0/0 trust\n"
Contents = Mapping[str, str]
"""File in a host's directory -> what is in it."""


def _everyone(cluster: Cluster) -> list[Host]:
    return [cluster.sandbox.hosts[name] for name in cluster.members]


def _one(role: str) -> Callable[[Cluster], list[Host]]:
    return lambda cluster: [host_of(cluster, role)]


def rewritten(
    description: str,
    whose: Callable[[Cluster], Sequence[Host]],
    contents: Callable[[Cluster, Host, Contents], Contents],
    files: Sequence[str],
    check: Callable[[Cluster, str], bool],
    loaded: bool = True,
) -> MakeDamage:
    """Some members' PostgreSQL reads other contents of its `files`, without a restart; if not `loaded`, it does not.

    `contents` makes them from the usual ones; `check` tells whether they are in effect on a member.
    """

    def make(given: Cluster) -> Damage:
        cluster = encrypted_cluster(given)
        hosts = whose(cluster)
        before = {host.name: {file: (host.directory / file).read_text() for file in files} for host in hosts}

        def write(wanted: Callable[[Host], Contents], load: bool = True) -> None:
            for host in hosts:
                for file, text in wanted(host).items():
                    _write(host.directory / file, text)
                if load:
                    host.run(["sh", "-c", f"cd '{host.directory}' && {_RELOAD}"])

        def in_effect() -> None:
            if without := [host.name for host in hosts if not check(cluster, host.name)]:
                raise NotYet(f"{', '.join(without)}: as before")

        def undo() -> None:
            write(lambda host: before[host.name])
            if still := [host.name for host in hosts if check(cluster, host.name)]:
                raise NotYet(f"{', '.join(still)}: still in effect")

        def change() -> None:
            write(lambda host: contents(cluster, host, before[host.name]), loaded)

        return Damage(description, change, in_effect, undo)

    return make


def _write(file: Path, text: str) -> None:
    """In place: the file keeps its owner and mode, without which PostgreSQL would not read a key."""
    with file.open("r+") as opened:
        opened.write(text)
        opened.truncate()


def tls_off(whose: Callable[[Cluster], Sequence[Host]]) -> MakeDamage:
    """As somebody does to get going again: PostgreSQL offers no TLS, and accepts logins without it."""

    def contents(cluster: Cluster, host: Host, before: Contents) -> Contents:
        return {SETTINGS: f"{before[SETTINGS]}ssl = off\n", ACCESS: _PLAIN_ACCESS + before[ACCESS]}

    def check(cluster: Cluster, name: str) -> bool:
        return not offers_tls(cluster.of_member(name))

    return rewritten("TLS is off", whose, contents, (SETTINGS, ACCESS), check)


def plain_logins(whose: Callable[[Cluster], Sequence[Host]]) -> MakeDamage:
    """`host` in pg_hba.conf where `hostssl` should be."""

    def check(cluster: Cluster, name: str) -> bool:
        plain = replace(cluster.of_member(name), options={"sslmode": "disable"})
        return log_in(plain).authenticated

    return rewritten(
        "logins without TLS are accepted",
        whose,
        lambda cluster, host, before: {ACCESS: _PLAIN_ACCESS + before[ACCESS]},
        (ACCESS,),
        check,
    )


def superuser_trusted(whose: Callable[[Cluster], Sequence[Host]]) -> MakeDamage:
    """The superuser alone gets in without TLS, and without a password."""

    def check(cluster: Cluster, name: str) -> bool:
        plain = replace(cluster.of_member(name), options={"sslmode": "disable"})
        return log_in(plain.as_user("postgres", "")).authenticated

    return rewritten(
        "a superuser gets in without TLS",
        whose,
        lambda cluster, host, before: {ACCESS: _TRUSTED_ACCESS + before[ACCESS]},
        (ACCESS,),
        check,
    )


def certificate(role: str, issue: Callable[[Authority, Host], Issued]) -> MakeDamage:
    """The member with that role presents another certificate."""

    def contents(cluster: Cluster, host: Host, before: Contents) -> Contents:
        issued = issue(Authority(host.sandbox), host)
        return {SERVER_CERTIFICATE: issued.certificate, SERVER_KEY: issued.key}

    def check(cluster: Cluster, name: str) -> bool:
        return bool(certificate_error(cluster.of_member(name)))

    return rewritten("another certificate", _one(role), contents, (SERVER_CERTIFICATE, SERVER_KEY), check)


def _ends_within(days: float, found: Certificate) -> bool:
    return found.expires - datetime.now(UTC) < timedelta(days=days)


def _expires_within(days: float) -> Callable[[Cluster, str], bool]:
    return lambda cluster, name: _ends_within(days, presented_by_postgres(cluster.of_member(name)))


def expiring(role: str, days: float) -> MakeDamage:
    """The certificate of the member with that role is valid for this many more days."""

    def contents(cluster: Cluster, host: Host, before: Contents) -> Contents:
        until = datetime.now(UTC) + timedelta(days=days)
        issued = Authority(host.sandbox).issue(_hosts(host), until=until)
        return {SERVER_CERTIFICATE: issued.certificate, SERVER_KEY: issued.key}

    files = (SERVER_CERTIFICATE, SERVER_KEY)
    return rewritten("a certificate that ends soon", _one(role), contents, files, _expires_within(days + 1))


def peer_expiring(days: float) -> MakeDamage:
    """What one member of etcd presents to the others is valid for this many more days. It reads its files each time."""

    def make(cluster: Cluster) -> Damage:
        host = next(one for one in cluster.sandbox.hosts.values() if (one.directory / PEER_CERTIFICATE).exists())
        before = {file: (host.directory / file).read_text() for file in (PEER_CERTIFICATE, PEER_KEY)}

        def write(contents: Contents) -> None:
            for file, text in contents.items():
                _write(host.directory / file, text)

        def change() -> None:
            until = datetime.now(UTC) + timedelta(days=days)
            issued = Authority(host.sandbox).issue(hosts_of(before[PEER_CERTIFICATE]), until=until)
            write({PEER_CERTIFICATE: issued.certificate, PEER_KEY: issued.key})

        def check() -> None:
            address, *_ = etcd.secured_peers(cluster.topology)[host.name]
            if not _ends_within(days + 1, presented(address, etcd.Access.of(cluster.topology).files)):
                raise NotYet(f"{host.name} presents another one to its peers")

        return Damage("a certificate for peers that ends soon", change, check, lambda: write(before))

    return make


def login_expiring(days: float) -> MakeDamage:
    """The certificate with which a replica would log in to stream is valid for this many more days."""

    def make(given: Cluster) -> Damage:
        host = host_of(encrypted_cluster(given), "a replica")
        files, own = files_of(host), host.directory / _STREAMING
        before = files.configuration()["postgresql"]
        logins = before["authentication"]

        def change() -> None:
            until = datetime.now(UTC) + timedelta(days=days)
            own.write_text(Authority(host.sandbox).issue(["replicator"], until=until).certificate)
            changed = {**logins, "replication": {**logins["replication"], "sslcert": str(own)}}
            files.change_configuration({"postgresql": {**before, "authentication": changed}})

        def check() -> None:
            if files.configuration()["postgresql"] == before:
                raise NotYet("its file names no certificate")

        def undo() -> None:
            files.restore_configuration()
            own.unlink(missing_ok=True)

        return Damage("a login with a certificate that ends soon", change, check, undo)

    return make


def _renewed_not_loaded() -> MakeDamage:
    """A replica's file has a new certificate, which PostgreSQL was not told to load."""

    def contents(cluster: Cluster, host: Host, before: Contents) -> Contents:
        issued = Authority(host.sandbox).issue(_hosts(host))
        return {SERVER_CERTIFICATE: issued.certificate, SERVER_KEY: issued.key}

    def check(cluster: Cluster, name: str) -> bool:
        (in_file, *_) = in_pem((cluster.sandbox.hosts[name].directory / SERVER_CERTIFICATE).read_bytes())
        return presented_by_postgres(cluster.of_member(name)) != in_file

    files = (SERVER_CERTIFICATE, SERVER_KEY)
    return rewritten("a certificate that is not loaded", _one("a replica"), contents, files, check, loaded=False)


def _hosts(host: Host) -> list[str]:
    return hosts_of((host.directory / SERVER_CERTIFICATE).read_text())


def _by_another_authority(own: Authority, host: Host) -> Issued:
    other = Authority.create(host.directory / "another-authority", "another authority")
    return other.issue(_hosts(host))


def _expired(own: Authority, host: Host) -> Issued:
    return own.issue(_hosts(host), until=datetime.now(UTC) - timedelta(days=1))


SABOTAGES = (
    Sabotage(
        "tls-off-on-one-member",
        "one replica has lost TLS and accepts logins without it",
        notices(
            {
                "SE-03 Every member accepts": r"1 of \d+ cannot be used with TLS.*member.*it offers no TLS",
                "SE-03 Every member presents": r"1 of \d+ cannot be used with TLS.*member.*it offers no TLS",
            }
        ),
        tls_off(_one("a replica")),
        NEEDS,
    ),
    Sabotage(
        "endpoints-offer-no-tls",
        "every member has lost TLS: no endpoint offers it",
        notices(
            {
                "SE-03 Every endpoint accepts": "cannot be used with TLS.*the write endpoint.*it offers no TLS",
                "SE-03 Every endpoint presents": "cannot be used with TLS.*the write endpoint.*it offers no TLS",
            }
        ),
        tls_off(_everyone),
        NEEDS,
    ),
    Sabotage(
        "logins-without-tls",
        "every member accepts logins without TLS",
        notices({"SE-03 Every endpoint accepts": "were accepted", "SE-03 Every member accepts": "were accepted"}),
        plain_logins(_everyone),
        NEEDS,
    ),
    Sabotage(
        "one-member-accepts-logins-without-tls",
        "one replica accepts logins without TLS",
        notices({"SE-03 Every member accepts": r"\d+ of \d+ were accepted.*member"}),
        plain_logins(_one("a replica")),
        NEEDS,
    ),
    Sabotage(
        "superuser-gets-in-without-tls",
        "one replica lets a superuser in without TLS and without a password, and nobody else",
        notices({"SE-03 Every member accepts": r"were accepted.*postgres\) for a session"}),
        superuser_trusted(_one("a replica")),
        NEEDS,
    ),
    Sabotage(
        "certificate-by-another-authority",
        "the certificate of one replica was signed by another authority",
        notices({"SE-03 Every member presents": "certificate verify failed.*unable to get local issuer certificate"}),
        certificate("a replica", _by_another_authority),
        NEEDS,
    ),
    Sabotage(
        "certificate-expired",
        "the leader's certificate has expired",
        notices(
            {
                "SE-03 Every endpoint presents": "the write endpoint.*certificate has expired",
                "SE-03 Every member presents": "certificate verify failed.*certificate has expired",
                "SE-06 Every certificate in use": r"expire too soon: .*member.*expired 1 days ago",
            }
        ),
        certificate("the leader", _expired),
        NEEDS,
    ),
    Sabotage(
        "certificate-ends-soon",
        "the certificate of one replica is valid for another 10 days",
        notices({"SE-06 Every certificate in use": r"\d+ of \d+ certificates expire too soon: .*expires in 10 days"}),
        expiring("a replica", 10),
        NEEDS,
    ),
    Sabotage(
        "certificate-for-streaming-ends-soon",
        "the certificate with which a replica logs in to stream is valid for another 10 days",
        notices({"SE-06 Every certificate in use": r"certificates expire too soon: .*expires in 10 days"}),
        login_expiring(10),
        NEEDS,
    ),
    Sabotage(
        "certificate-among-dcs-members-ends-soon",
        "the certificate that one member of the DCS presents to the others is valid for another 10 days",
        notices({"SE-06 members of the DCS present": r"\d+ of \d+ certificates expire too soon: .*expires in 10 days"}),
        peer_expiring(10),
        frozenset({"peer_certificates"}),
    ),
    Sabotage(
        "certificate-renewed-and-not-loaded",
        "the certificate of one replica was renewed, and the replica has not loaded it",
        notices({"SE-06 Every member has loaded": r"1 of \d+ present a different certificate from the one in"}),
        _renewed_not_loaded(),
        NEEDS,
    ),
    Sabotage(
        "certificate-for-another-host",
        "the certificate of one replica is for another host",
        notices({"SE-03 Every member presents": "certificate verify failed.*IP address mismatch"}),
        certificate("a replica", lambda own, host: own.issue(["elsewhere.example"])),
        NEEDS,
    ),
    Sabotage(
        "application-verifies-no-certificate",
        "the application accepts any certificate",
        notices({"SE-03 The application rejects": "were accepted"}),
        nothing,
        NEEDS,
        application="verifies_no_certificate",
    ),
)
