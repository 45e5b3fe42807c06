"""Versions of one entry, written in their order, and what sessions at both endpoints see of them.

Versions are ever-increasing numbers: a session that sees a lower one than before has gone back in time.
"""

import time
from contextlib import ExitStack

from support import sql
from support.engine.history import History, Operation, Outcome
from support.engine.workload import Script, Task, Turn, Workload
from support.errors import NotInTime
from support.example_app.entries import INSERT_ENTRY, READ_VALUE, WRITE_VALUE
from support.example_app.profile import Profile
from support.isolation.session_checks import FOLLOW, READ, WRITE_AND_READ
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.waiting import NotYet, eventually, precondition

_KEY = "version"
_PAUSE = 0.005  # seconds between two looks for a version that is late


def create(where: sql.Endpoint, profile: Profile, namespace: str, key: str = _KEY) -> None:
    """Store version 0."""
    sql.execute(where, profile.sql(INSERT_ENTRY), [namespace, key, "0"])


def version(where: sql.Endpoint | sql.Session, profile: Profile, namespace: str, key: str = _KEY) -> int:
    """The version that is there; -1 where there is none."""
    found = sql.rows(where, profile.sql(READ_VALUE), [namespace, key])
    return int(found[0][0]) if found else -1


def write(where: sql.Session, profile: Profile, namespace: str, number: int, key: str = _KEY) -> None:
    """Commit a version."""
    sql.execute(where, profile.sql(WRITE_VALUE), [str(number), namespace, key])


def _key_of(client: int) -> str:
    """The key of an entry that one client alone writes."""
    return f"{_KEY}-of-client-{client}"


def writing_and_reading(profile: Profile, namespace: str, times: int) -> Script:
    """Each client writes versions of an entry of its own, and reads each back in the same session."""

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        number, key = turn.number + 1, _key_of(turn.client)

        def write_and_read(session: sql.Session) -> tuple[int, int]:
            write(session, profile, namespace, number, key)
            return number, version(session, profile, namespace, key)

        return Task(WRITE_AND_READ, key, (number, None), write_and_read)

    return script


def own_entries(where: sql.Endpoint, profile: Profile, namespace: str, clients: int) -> None:
    """Store an entry for each client that writes and reads."""
    for client in range(clients):
        create(where, profile, namespace, _key_of(client))


def reading(profile: Profile, namespace: str, times: int | None = None) -> Script:
    """Each client reads the version, `times` times or until it is stopped."""

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        return Task(READ, _KEY, None, lambda session: version(session, profile, namespace))

    return script


def counting_up(profile: Profile, namespace: str) -> Script:
    """A single client that writes one version after another until it is stopped."""

    def script(turn: Turn) -> Task:
        number = turn.number + 1
        return Task("write", _KEY, number, lambda session: write(session, profile, namespace, number))

    return script


def read_while_written(cluster: Cluster, namespace: str, clients: int, times: int, pace: float) -> History:
    """Let clients read through the read endpoint, each over one session, while another one writes; their reads.

    `pace` is the pause between two reads of a client, in seconds. Raises Inconclusive if the read endpoint does not
    show the entry at all.
    """
    create(cluster.write, cluster.profile, namespace)
    _await_there(cluster, namespace)
    writer = Workload(cluster.write, counting_up(cluster.profile, namespace), clients=1)
    readers = Workload(cluster.read, reading(cluster.profile, namespace, times), clients=clients, pace=pace)
    within = cluster.topology.timing.recovery
    with writer, readers:
        readers.await_end(within)
    return readers.history


def follow(cluster: Cluster, namespace: str, times: int, within: float) -> History:
    """How soon each endpoint shows what the other one has, `times` times each way; one operation for each, until one
    is late.

    A version that was acknowledged at the write endpoint is looked for at the read endpoint; and one that the read
    endpoint showed, at the write endpoint: a standby may show a commit for which its leader is still waiting. The
    outcome of an operation is "fail" if it took longer than `within` seconds.
    """
    history, profile = History(), cluster.profile
    create(cluster.write, profile, namespace)
    with ExitStack() as opened:
        behind = opened.enter_context(sql.session(cluster.read))
        ahead = opened.enter_context(sql.session(cluster.write))

        def reads_follow(number: int) -> bool:
            return _follow(history, behind, profile, namespace, "the read endpoint", number, within)

        def writes_follow(number: int) -> bool:
            return _follow(history, ahead, profile, namespace, "the write endpoint", number, within)

        if not reads_follow(0):
            return history
        with Workload(cluster.write, counting_up(profile, namespace), clients=1) as busy:
            if not all(writes_follow(version(behind, profile, namespace)) for _ in range(times)):
                return history
        for number in range(len(busy.history) + 1, len(busy.history) + 1 + times):
            write(ahead, profile, namespace, number)
            if not reads_follow(number):
                break
    return history


def _follow(
    history: History, session: sql.Session, profile: Profile, namespace: str, name: str, number: int, within: float
) -> bool:
    """Look for a version until it is there, or the time is over; record how long that took, and return whether it is
    there."""
    begun, looked = time.monotonic(), 0

    def there() -> None:
        nonlocal looked
        looked += 1
        if (found := version(session, profile, namespace)) < number:
            raise NotYet(f"version {found}")

    outcome = Outcome.OK
    try:
        eventually(there, within=within, subject=f"{name} shows version {number}", pause=_PAUSE)
    except NotInTime:
        outcome = Outcome.FAIL
    ended = time.monotonic()
    history.append(Operation(0, FOLLOW, name, (ended - begun, looked), outcome, begun, ended))
    return outcome is Outcome.OK


def _await_there(cluster: Cluster, namespace: str) -> None:
    """Wait until the read endpoint shows the entry. Raises Inconclusive if it never does."""

    def there() -> None:
        if version(cluster.read, cluster.profile, namespace) < 0:
            raise NotYet("it does not")

    with precondition():
        subject = "the read endpoint shows the entry"
        eventually(there, within=cluster.topology.timing.visible, subject=subject, retry_on=NO_ANSWER)
