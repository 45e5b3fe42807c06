"""Whether replicas, rewinds and new members can still log in, found out by trying.

A stream that runs was let in long ago. A password that was changed since, a rule that was removed or a certificate that
has expired shows only when the stream ends; then a replica is locked out, and pg_rewind and pg_basebackup with it.

Sources: https://github.com/patroni/patroni/issues/1904 and https://github.com/patroni/patroni/issues/353 (passwords
that were changed in one place), https://github.com/cloudnative-pg/cloudnative-pg/issues/10433 (certificates that
ran out), https://www.postgresql.org/docs/current/app-pgrewind.html (the functions that pg_rewind's role has to execute)
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from support import sql
from support.errors import Inconclusive, NotInTime, ProcessFailed
from support.failover.member_checks import StreamedAgain
from support.hosts.remote import HostUnreached
from support.target.cluster import Cluster
from support.target.member_files import MemberFiles, files_of
from support.target.members import NO_ANSWER, addresses_among_members
from support.target.purposes import purposes
from support.waiting import NotYet, eventually

_STREAMS = "SELECT pid, state FROM pg_stat_replication WHERE application_name = %s"
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = %s"
_IDENTIFY = "IDENTIFY_SYSTEM"
_DATABASE = "postgres"
"""The one to which Patroni connects, unless it is configured otherwise."""
_AS_PG_REWIND = (
    "SELECT count(*) FROM pg_ls_dir('.', true, false); SELECT size FROM pg_stat_file('PG_VERSION', true); "
    "SELECT pg_read_binary_file('PG_VERSION', 0, 100, true)"
)


def end_and_await(cluster: Cluster, replica: str, within: float) -> StreamedAgain:
    """End the replica's stream, on the member from which it comes, and wait until it streams through a new session.

    Raises Inconclusive if the replica does not stream.
    """
    source = purposes(cluster)[replica].source
    where = cluster.administration_of(source)
    before = [pid for pid, _ in sql.rows(where, _STREAMS, [replica])]
    if not before:
        raise Inconclusive(f"{replica} does not stream from {source}, so there is no stream to end")
    begun, let_in = time.monotonic(), False
    sql.rows(where, _END, [replica])

    def streams() -> None:
        nonlocal let_in
        let_in = False
        rows = sql.rows(where, _STREAMS, [replica])
        new = [state for pid, state in rows if pid not in before]
        let_in = bool(new)
        if "streaming" not in new:
            raise NotYet(", ".join(f"a session that is {state}" for _, state in rows) or "no session of it")

    try:
        eventually(streams, within=within, subject="it streams", retry_on=NO_ANSWER, pause=0.05)
    except NotInTime as late:
        return StreamedAgain(replica, source, None, time.monotonic(), late.observed, let_in, begun)
    ended = time.monotonic()
    return StreamedAgain(replica, source, ended - begun, ended)


@dataclass(frozen=True)
class Attempt:
    """A login from one member's host to another member, with the credentials of the first."""

    purpose: str
    """What the member would log in for."""
    origin: str
    to: str
    refusal: str
    """Why it was refused; empty if it was accepted."""


def try_logins(cluster: Cluster) -> Iterator[Attempt]:
    """Log in from each member's host to every other member of its group, with the logins that its Patroni uses.

    They use the addresses that Patroni's members publish for one another: the suite's own addresses may lead elsewhere
    from a member's host.
    """
    known = addresses_among_members(cluster)
    for member in cluster.members:
        files = files_of(cluster.site.hosts[member])
        configured = files.configuration()["postgresql"]
        logins, database = configured["authentication"], configured.get("database") or _DATABASE
        if not logins.get("replication"):
            raise Inconclusive(f"the configuration of Patroni on {member} names no login for replication")
        rewind = logins.get("rewind") or logins.get("superuser") or {}
        for other in cluster.members:
            if other != member:
                address = known[other]
                to = {"host": address.host, "port": address.port, "dbname": database, "connect_timeout": 5}
                for purpose, login, more, statement in (
                    ("to stream or to be copied", logins["replication"], {"replication": "true"}, _IDENTIFY),
                    ("to be rewound", rewind, {}, _AS_PG_REWIND),
                ):
                    yield Attempt(purpose, member, other, _refusal(files, login, {**to, **more}, statement))


def _refusal(files: MemberFiles, login: Mapping[str, Any], to: Mapping[str, Any], statement: str) -> str:
    """Why a login is refused, or the statement after it; empty if both succeed. The password is in a file.

    Raises HostUnreached if the member's own host gives no answer, Inconclusive for a login that cannot be tried without
    showing a secret.
    """
    if login.get("sslpassword"):
        raise Inconclusive("a member's key has a passphrase, and psql would show that on its command line")
    options = {name: value for name, value in login.items() if name not in ("username", "password")}
    passwords = [f"*:*:*:*:{_escaped(str(login['password']))}"] if login.get("password") else []
    conninfo = _conninfo({**to, "user": login.get("username", "postgres"), **options})
    words = ["-X", "-w", "-q", "-o", "/dev/null", conninfo]
    try:
        files.run("psql", *words, "-c", statement, passwords=passwords)
    except HostUnreached:
        raise
    except ProcessFailed as failed:
        return str(failed).partition(": ")[2].partition(" password retrieved from file")[0]
    return ""


def _conninfo(parameters: Mapping[str, Any]) -> str:
    """For the member's own libpq, which may know other parameters than ours."""
    quoted = {name: str(value).replace("\\", "\\\\").replace("'", "\\'") for name, value in parameters.items()}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())


def _escaped(word: str) -> str:
    """A field of a password file."""
    return word.replace("\\", "\\\\").replace(":", "\\:")
