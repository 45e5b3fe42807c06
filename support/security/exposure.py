"""Where a password could be read by those who must not know it."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

from support.errors import NotAvailable
from support.run import Run
from support.target.cluster import Cluster
from support.target.login import log_in
from support.target.topology import Login, Topology

Places = Iterator[tuple[str, bytes]]
"""Names of places, and what is written there."""

_PROC = Path("/proc")
_BOOTED = ("sandbox", "beside")
"""The folders, in a run's own, of a cluster that was booted for it: on its hosts, or beside the run."""
_DECOY_LIVES = 60  # seconds; longer than any search


def passwords(cluster: Cluster) -> dict[str, set[bytes]]:
    """Whose password -> every form in which it may stand. One that is a public name as well cannot be sought.

    Raises NotAvailable if there is none to seek.
    """
    topology = cluster.topology
    logins = _logins(topology)
    public = {topology.database, topology.scope, *(login.user for login in logins.values())}
    owners = {login.password: owner for owner, login in logins.items()}
    sought = {
        owners.get(secret, f"password {number}"): _forms(secret, (login.user for login in logins.values()))
        for number, secret in enumerate(cluster.topology.secrets, 1)
        if secret not in public
    }
    if not sought:
        raise NotAvailable("every password of the target is also the name of a role or of the database")
    return sought


def logs(cluster: Cluster) -> Places:
    """Everything that the programs on all hosts have logged, a place a file."""
    for host in cluster.sandbox.hosts.values():
        yield from files({*host.directory.rglob("*.log"), *(process.log for process in host.processes.values())})


def arguments(cluster: Cluster) -> Places:
    """The arguments of every process on all hosts, as anybody there can list them; a place a host."""
    for host in cluster.sandbox.hosts.values():
        pids = [pid for process in host.processes.values() for pid in process.pids]
        yield host.name, b"\n".join(content for _, content in files(_PROC / str(pid) / "cmdline" for pid in pids))


def report(run: Run) -> Places:
    """What the run has gathered for its report, a place a file.

    Not what configures it, which holds the passwords, nor the folders of a cluster that was booted for the run.
    """
    gathered = {path for root in (run.results, run.directory) for path in root.rglob("*")}
    booted = [run.directory / name for name in _BOOTED]
    kept = (path for path in gathered - {run.topology, run.file} if not any(one in path.parents for one in booted))
    yield from files(kept)


def files(paths: Iterable[Path]) -> Places:
    """What stands in those files; one that is gone meanwhile, or is no file, is passed over."""
    for path in paths:
        if path.is_file():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield str(path), path.read_bytes()


def have_logged(cluster: Cluster, decoy: str) -> int:
    """Have every member log a word; returns how many logs it should stand in."""
    for name in cluster.everyone:
        log_in(cluster.of_member(name).as_user(decoy, ""))
    return len(cluster.everyone)


def have_as_argument(cluster: Cluster, decoy: str, until: ExitStack) -> int:
    """Run a program with that word as an argument on every host; returns on how many."""
    hosts = cluster.sandbox.hosts.values()
    for host in hosts:
        process = host.add("decoy", ["sh", "-c", f"sleep {_DECOY_LIVES}", decoy])
        until.callback(process.kill)
        process.start()
    return len(hosts)


def have_in_report(run: Run, attach: Callable[[str, str], object], decoy: str) -> int:
    """Attach a word to the report. Raises NotAvailable where this run gathers nothing for a report."""
    before = set(run.results.glob("*"))
    attach("decoy", decoy)
    if set(run.results.glob("*")) == before:
        raise NotAvailable("no report is written in this run: behave was started without Allure's formatter")
    return 1


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
    """As it is, in JSON, in a URL, and as a browser sends it together with a user's name."""
    sent = {b64encode(f"{user}:{secret}".encode()) for user in users}
    return {secret.encode(), json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode(), *sent}
