"""Where a password could leak: logs, arguments of programs, the report, and error messages.

A decoy can be planted in each of these, to show that a search there finds what it is looking for.
"""

import json
import traceback
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

from support import sql
from support.errors import Inconclusive, NotAvailable, ProcessFailed
from support.run import Run
from support.security.checks import Unread
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.login import log_in
from support.target.members import ask_in_parallel, heard_and_silent
from support.target.redis import client_of, primary_of
from support.target.topology import Login, RedisAddress, Topology
from support.waiting import describe

Places = Iterator[tuple[str, bytes]]
"""Names of places, and the content of each, or portions of it, one after the other."""
HostPlaces = Iterator[tuple[str, bytes | Unread]]
"""Names of places on hosts, and the content of each, or portions of it; Unread where a host does not answer."""

_BOOTED = ("sandbox", "beside")
"""Folders, within a run's directory, of a cluster that was booted for the run."""
_DECOY_LIVES = 60  # seconds; longer than any search takes
_UNUSED_PORT = 1
_ENCODINGS = ("utf-8", "latin-1", "cp1252", "iso8859-15")
"""The encodings of programs and databases whose passwords are likely to have characters that are not in ASCII."""
DECOYS = (
    "a login to a database that does not exist",
    "a login as a role that does not exist",
    "a login to a host that does not exist",
)
"""The failing logins whose messages name the decoy, whatever answers them."""


def passwords(cluster: Cluster) -> dict[str, set[bytes]]:
    """Whose password -> every form in which it may occur.

    A password that is also a public name is left out: it cannot be searched for. Raises NotAvailable if none is left.
    """
    logins = _logins(cluster.topology)
    owners = {login.password: owner for owner, login in logins.items()}
    wanted = {
        owners.get(secret, f"password {number}"): _forms(secret, (login.user for login in logins.values()))
        for number, secret in enumerate(cluster.topology.secrets, 1)
    }
    if not wanted:
        raise NotAvailable("every password of the target is also the name of a role or of the database")
    return wanted


def logs(cluster: Cluster) -> HostPlaces:
    """Everything that the programs on all hosts have logged; each log is a place "of" its host."""
    for host in cluster.site.hosts.values():
        try:
            found = host.logs()
        except (OSError, ProcessFailed) as error:
            yield f"the logs of {host.name}", Unread(describe(error))
            continue
        for name, log in found.items():
            place = f"{name} of {host.name}"
            try:
                for portion in log.portions():
                    yield place, portion
            except (OSError, ProcessFailed) as error:
                yield place, Unread(describe(error))


def arguments(cluster: Cluster) -> HostPlaces:
    """The arguments of every process on all hosts, as any user there can list them; each host is a place."""
    for host in cluster.site.hosts.values():
        try:
            yield host.name, "\n".join(one.title for one in host.listed()).encode()
        except (OSError, ProcessFailed) as error:
            yield host.name, Unread(describe(error))


def report(run: Run) -> Places:
    """What the run has gathered for its report; each file is a place. With several jobs, the whole run's journal, too.

    Neither the run's configuration, which contains the passwords, nor the folders of a cluster that was booted for it.
    """
    gathered = {path for root in (run.results, run.directory) for path in root.rglob("*")} | {run.journal}
    booted = [run.directory / name for name in _BOOTED]
    kept = (path for path in gathered - {run.topology, run.file} if not any(one in path.parents for one in booted))
    yield from files(kept)


def files(paths: Iterable[Path]) -> Places:
    """The content of those files, unpacked; paths that have vanished or are not files are skipped."""
    for path in paths:
        if path.is_file():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield str(path), _unpacked(path)


def _unpacked(path: Path) -> bytes:
    """What a file says, of a packed one as much as is written by now; as it is if it only has that name."""
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(content)
    except zlib.error:
        return content


def log_on_every_member(cluster: Cluster, decoy: str) -> tuple[Sequence[str], dict[str, str]]:
    """Make every member log the decoy; returns the hosts of which a log must contain it.

    Also the hosts of members that did not answer, and why: nothing shows that their logs are searched.
    """
    answers = ask_in_parallel(cluster.everyone, lambda name: log_in(cluster.of_member(name).as_user(decoy, "")))
    logged, silent = heard_and_silent(answers)
    return [*logged], silent


class Decoys:
    """A program with the decoy as an argument runs on every host. It does nothing, and ends by itself."""

    def __init__(self, cluster: Cluster, decoy: str) -> None:
        self.hosts, self._decoy, self._ending = cluster.site.hosts, decoy, ExitStack()

    def __str__(self) -> str:
        return "a program that sleeps, with a decoy as its argument, runs on every host"

    def on_hosts(self) -> None:
        """See OnHosts."""
        for host in self.hosts.values():
            self._ending.callback(host.run_decoy(self._decoy, _DECOY_LIVES))

    def end(self) -> None:
        """End all of them early."""
        self._ending.close()


def run_with_argument(cluster: Cluster, decoy: str, until: ExitStack) -> Sequence[str]:
    """Run a program with the decoy as an argument on every host, `until` that unwinds; returns the hosts."""
    decoys = Decoys(cluster, decoy)
    until.callback(decoys.end)
    decoys.on_hosts()
    return list(decoys.hosts)


def attach_to_report(run: Run, attach: Callable[[str, str], object], decoy: str) -> Sequence[str]:
    """Attach the decoy to the report; returns the files that have it. Raises NotAvailable in a run without a report."""
    before = set(run.results.glob("*"))
    attach("decoy", decoy)
    new = set(run.results.glob("*")) - before  # among them those of other jobs, which may not be text
    if not (written := [place for place, content in files(new) if decoy.encode() in content]):
        raise NotAvailable("no report is written in this run: behave was started without Allure's formatter")
    return written


def error_messages(cluster: Cluster, decoy: str) -> Places:
    """The traceback of each failing login, down to its first cause; and the printed description of the cluster.

    The decoy is a name that no role, database or host has. Raises Inconclusive if one of the logins does not fail.
    """
    for name, fail in failing_logins(cluster, decoy).items():
        try:
            fail()
        except Exception as error:
            yield name, "".join(traceback.format_exception(error)).encode()
        else:
            raise Inconclusive(f"{name} did not fail")
    yield "the description of the cluster", repr(cluster.topology).encode()


def failing_logins(cluster: Cluster, decoy: str) -> Mapping[str, Callable[[], object]]:
    """Logins and requests that fail although their password is right: description -> what to call."""
    write, topology = cluster.write, cluster.topology
    database, role, host = DECOYS
    failing: dict[str, Callable[[], object]] = {
        database: lambda: _log_in(replace(write, database=decoy)),
        role: lambda: _log_in(replace(write, user=decoy)),
        "a login to a port where nobody listens": lambda: _log_in(write.at(write.name, write.host, _UNUSED_PORT)),
        host: lambda: _log_in(write.at(write.name, f"{decoy}.invalid", write.port)),
        "a login with an unknown option": lambda: _log_in(replace(write, options={**write.options, "sslmode": decoy})),
        "an invalid statement": lambda: sql.execute(write, decoy),
    }
    page, cache = topology.statistics, topology.redis
    if page:
        nowhere = page.url.replace("//", f"//{decoy}.")
        failing["a statistics page on a host that does not exist"] = lambda: haproxy.servers(replace(page, url=nowhere))
    if cache:
        elsewhere = replace(cache.address, port=_UNUSED_PORT)
        nobody = replace(cache, address=elsewhere, mode="standalone", further=())
        failing["a cache at a port where nobody listens"] = lambda: _ping(nobody)
    if cache and (password := cache.password):
        failing["a cache that refuses a login"] = lambda: _log_in_to_cache(cache, decoy, password)
    return failing


def _log_in(endpoint: sql.Endpoint) -> None:
    with sql.session(endpoint):
        pass


def _ping(cache: RedisAddress) -> None:
    with client_of(cache) as client:
        client.ping()


def _log_in_to_cache(cache: RedisAddress, user: str, password: str) -> None:
    with client_of(primary_of(cache)) as client:
        client.auth(password, user)


def _logins(topology: Topology) -> dict[str, Login]:
    page = topology.statistics
    named = {
        "the application's password": topology.application,
        "the administrator's password": topology.administrator,
        "the password of Patroni's REST API": topology.patroni_login,
        "the statistics page's password": page.login if page else None,
        "the cache's password": Login("default", topology.redis.password or "") if topology.redis else None,
    }
    return {owner: login for owner, login in named.items() if login}


def _forms(secret: str, users: Iterable[str]) -> set[bytes]:
    """As it is, and as programs write it: escaped in SQL or in a libpq connection string, each also in JSON and in CSV;
    in a URL; and in HTTP's basic authentication together with a user's name.

    What is not ASCII appears in a log in the encoding of the database, and in a request in that of the client.
    """
    twice = secret.replace("\\", "\\\\")  # a backslash, where it escapes
    texts = {secret, secret.replace("'", "''"), twice.replace("'", "''"), twice.replace("'", "\\'")}
    in_json = {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in texts for ascii_only in (True, False)}
    in_csv = {text.replace('"', '""') for text in texts}
    in_urls = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    sent = {b64encode(login) for user in users for login in _encoded(f"{user}:{secret}")}
    return {form for text in texts | in_json | in_csv | in_urls for form in _encoded(text)} | sent


def _encoded(text: str) -> Iterator[bytes]:
    """In each of the encodings that have all its characters."""
    for encoding in _ENCODINGS:
        with suppress(UnicodeEncodeError):
            yield text.encode(encoding)
