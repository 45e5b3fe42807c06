"""One client that searches for the nearest entries again and again over one session."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from support import sql
from support.application.profile import Profile
from support.application.samples import Vectors
from support.application.search import Search
from support.application.vectors import VectorDialect
from support.errors import ConnectFailed
from support.history import History, Outcome
from support.timeouts import NOTICE
from support.waiting import eventually
from support.workloads.recording import record

SEARCH = "search"
_WARM_UP = 10  # searches that are not counted: the first ones read the index from disk


@dataclass(frozen=True)
class Searches:
    """Many searches in one namespace, and by which indexes they went."""

    history: History
    """A search's key is its number, its value what was found."""
    sought: Vectors
    count: int
    """How many neighbours were asked for."""
    indexes_used: tuple[frozenset[str], ...]
    """For each search."""
    cosine_indexes: frozenset[str]
    """The indexes that are meant for it."""
    plan: str
    """Of the first one."""
    dialect: VectorDialect

    @property
    def origins(self) -> list[dict[str, int]]:
        """For each search: how many of what was found are of which namespace; none where it was refused."""
        return [dict(Counter(found.namespace for found in one.value or ())) for one in self.history.of(action=SEARCH)]

    @property
    def answers(self) -> list[tuple[Sequence[float], list[tuple[str, float]]]]:
        """For each search that was answered: the vector, and key and distance of what was found."""
        return [
            (self.sought[int(one.key)].tolist(), [(found.key, found.distance) for found in one.value])
            for one in self.history.of(action=SEARCH, outcome=Outcome.OK)
        ]

    @property
    def found(self) -> dict[str, str]:
        """For each search that was answered, by its number: what was found and how far away, as one line."""
        answered = self.history.of(action=SEARCH, outcome=Outcome.OK)
        return {
            f"search {one.key}": ", ".join(f"{found.key} {found.distance}" for found in one.value) for one in answered
        }


def search_again(endpoint: sql.Endpoint, profile: Profile, namespace: str, before: Searches) -> Searches:
    """The same searches as before, once the endpoint leads somewhere again."""
    return eventually(
        lambda: search_repeatedly(endpoint, profile, namespace, before.sought, before.count),
        within=NOTICE,
        subject=f"{endpoint.name} answers searches",
        retry_on=(ConnectFailed, sql.Error),
    )


def search_repeatedly(
    endpoint: sql.Endpoint, profile: Profile, namespace: str, sought: Vectors, count: int
) -> Searches:
    """Search for the `count` nearest of each vector, over one session."""
    history = History()
    with sql.session(endpoint) as session:
        search = Search(session, profile)
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
