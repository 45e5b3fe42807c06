"""What clients do in scenarios of the cluster: search, read, ask questions, write markers and look for them."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from support import sql
from support.engine.history import History, Outcome
from support.engine.workload import Script, Task, Turn, Workload, record
from support.errors import ConnectFailed, NotInTime
from support.example_app.entries import INSERT_ENTRY, WRITE_VALUE, Entry, EntryStore
from support.example_app.profile import Profile
from support.example_app.samples import Vectors
from support.example_app.search import SEARCH, Search
from support.example_app.vectors import VectorDialect
from support.timeouts import NOTICE
from support.waiting import NotYet, eventually

_WARM_UP = 10  # searches that are not recorded: the first ones read the index from disk


@dataclass(frozen=True)
class Searches:
    """Many searches in one namespace, and the indexes that they used."""

    history: History
    """The key of a search is its number, its value is what it found."""
    sought: Vectors
    count: int
    """How many neighbours each search asked for."""
    indexes_used: tuple[frozenset[str], ...]
    """For each search."""
    cosine_indexes: frozenset[str]
    """The valid HNSW indexes for cosine distance on the searched column."""
    plan: str
    """The plan of the first search."""
    dialect: VectorDialect

    @property
    def origins(self) -> list[dict[str, int]]:
        """For each search: namespace -> how many entries it found there; empty if the search failed."""
        return [dict(Counter(found.namespace for found in one.value or ())) for one in self.history.of(action=SEARCH)]

    @property
    def answers(self) -> list[tuple[Sequence[float], list[tuple[str, float]]]]:
        """For each answered search: the vector, and key and distance of each entry found."""
        return [
            (self.sought[int(one.key)].tolist(), [(found.key, found.distance) for found in one.value])
            for one in self.history.of(action=SEARCH, outcome=Outcome.OK)
        ]

    @property
    def found(self) -> dict[str, str]:
        """For each answered search, by its number: keys and distances of what was found, in one line."""
        answered = self.history.of(action=SEARCH, outcome=Outcome.OK)
        return {
            f"search {one.key}": ", ".join(f"{found.key} {found.distance}" for found in one.value) for one in answered
        }


def search_again(endpoint: sql.Endpoint, profile: Profile, namespace: str, before: Searches) -> Searches:
    """Repeat searches as soon as the endpoint leads to a leader again."""
    return eventually(
        lambda: search_repeatedly(endpoint, profile, namespace, before.sought, before.count),
        within=NOTICE,
        subject=f"{endpoint.name} answers searches",
        retry_on=(ConnectFailed, sql.Error),
    )


def search_repeatedly(
    endpoint: sql.Endpoint, profile: Profile, namespace: str, sought: Vectors, count: int, exact: bool = False
) -> Searches:
    """Search for the `count` nearest entries of each vector, over one session; with `exact`, without the index.

    The searches are timed first, and then their plans are requested.
    """
    history = History()
    with sql.session(endpoint) as session:
        search = Search(session, profile, exact=exact)
        wanted = [vector.tolist() for vector in sought]
        for vector in wanted[:_WARM_UP]:
            search.nearest(namespace, vector, count)
        for number, vector in enumerate(wanted):
            record(history, SEARCH, str(number), partial(search.nearest, namespace, vector, count))
        return Searches(
            history,
            sought,
            count,
            tuple(frozenset(search.indexes_used(namespace, vector, count)) for vector in wanted),
            frozenset(search.cosine_indexes()),
            search.plan(namespace, wanted[0], count),
            search.dialect,
        )


READ = "read"
_READ_WARM_UP = 20  # reads that are not recorded: the first ones fill caches and plan


def read_repeatedly(endpoint: sql.Endpoint, profile: Profile, entry: Entry, times: int) -> History:
    """Read an entry by its key, over one session. The value of each operation is whether it came back as stored."""
    history = History()
    with sql.session(endpoint) as session:
        store = EntryStore(session, profile)
        for number in range(-_READ_WARM_UP, times):
            into = history if number >= 0 else History()
            record(into, READ, entry.key, lambda: store.find(entry.namespace, entry.key) == [entry])
    return history


def questions(times: int) -> Script:
    """Each client asks `times` questions, no two the same. The recorded key is the question, the value its answer."""

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        asked = f"{turn.client}/{turn.number}"
        return Task("ask", asked, None, lambda session: answer(session, asked))

    return script


def right_answer(question: str) -> str:
    """The right answer to a question: its characters in reverse order."""
    return question[::-1]


def answer(session: sql.Session, question: str) -> str:
    """The server's answer to a question."""
    return str(sql.value(session, "SELECT reverse(%s)", [question]))


_KEY = "marker"
_LOOK = (
    "SELECT coalesce(max({entries.value}::bigint), 0) FROM {entries} "
    "WHERE {entries.namespace} = %s AND {entries.key} = %s"
)
_MARK_EVERY = 0.1  # seconds
_LOOK_EVERY = 0.02  # seconds: the lag is some tens of milliseconds


def write_markers_and_watch(
    write: sql.Endpoint,
    replicas: Sequence[sql.Endpoint],
    profile: Profile,
    namespace: str,
    count: int,
    patience: float,
    history: History,
) -> list[str]:
    """Write `count` markers, and read every replica until it shows the last one, for at most `patience` seconds.

    Writing marker 3 is an operation "mark" with value 3. A read of a replica is an operation "look" whose key is the
    name of the replica and whose value is the marker that it showed. Returns the names of the replicas.
    """
    names = [replica.name for replica in replicas]
    sql.execute(write, profile.sql(INSERT_ENTRY), [namespace, _KEY, "0"])
    with ExitStack() as watching:
        for replica in replicas:
            watcher = Workload(
                replica, _looks(profile, namespace, replica.name), clients=1, pace=_LOOK_EVERY, history=history
            )
            watching.enter_context(watcher)
        with Workload(write, _marks(profile, namespace, count), clients=1, pace=_MARK_EVERY, history=history) as writer:
            writer.await_end(within=count * (_MARK_EVERY + patience))
        _await_last_look(history, set(names), count, patience)
    return names


def _marks(profile: Profile, namespace: str, count: int) -> Script:
    def script(turn: Turn) -> Task | None:
        number = turn.number + 1
        if number > count:
            return None
        return Task("mark", _KEY, number, lambda session: _set(session, profile, namespace, number))

    return script


def _set(session: sql.Session, profile: Profile, namespace: str, number: int) -> None:
    sql.execute(session, profile.sql(WRITE_VALUE), [str(number), namespace, _KEY])


def _looks(profile: Profile, namespace: str, replica: str) -> Script:
    def look(session: sql.Session) -> int:
        return int(sql.value(session, profile.sql(_LOOK), [namespace, _KEY]))

    return lambda turn: Task("look", replica, None, look)


def _await_last_look(history: History, replicas: set[str], last: int, patience: float) -> None:
    def all_shown() -> None:
        looks = history.of(action="look", outcome=Outcome.OK)
        if behind := replicas - {look.key for look in looks if look.value == last}:
            raise NotYet(f"not yet on {', '.join(sorted(behind))}")

    try:
        # A little longer than the limit, so that a look after the limit shows that the marker is still missing.
        eventually(all_shown, within=patience + 1, subject="the last marker is seen on every replica")
    except NotInTime:
        return  # the check says which marker came how late
