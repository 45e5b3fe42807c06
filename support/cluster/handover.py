"""What the steps of the subject "cluster" hand to one another."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

from support.cluster.black_hole import BlackHoleServer
from support.cluster.crowded_table import CrowdedTable, MemberSearches
from support.cluster.workloads import Searches
from support.engine.history import History
from support.engine.workload import Workload
from support.engine.world import Handover
from support.example_app.entries import Entry
from support.example_app.pool import TestedPool
from support.example_app.sessions import Attempt
from support.example_app.vectors import Extension
from support.target.cluster import Cluster
from support.target.members import NoAnswer


class AnsweredSearches(Protocol):
    """Searches for nearest neighbours, and what was found."""

    @property
    def history(self) -> History:
        """Every search, those that failed, too."""

    @property
    def count(self) -> int:
        """How many neighbours were asked for."""

    @property
    def answers(self) -> list[tuple[Sequence[float], list[tuple[str, float]]]]:
        """For each search that was answered: the vector, and key and distance of each neighbour that was found."""


class ClusterHandover(Handover):
    """Sessions, entries and searches of one scenario."""

    systems: Annotated[Mapping[str, int | NoAnswer], "When every member is asked which database system it belongs to"]
    """Member -> its system identifier."""
    backend: Annotated[int, "Given a session whose statements may take 0.5 seconds"]
    """The process ID of the server process behind the session."""
    pool: Annotated[TestedPool, "Given a pool of sessions, one of them idle"]
    idle_backend: Annotated[int, "Given a pool of sessions, one of them idle"]
    served_by: Annotated[int, "Then the next user of the pool is served without an error"]
    """The backend of the session that the pool handed out."""
    black_hole: Annotated[BlackHoleServer, "Given a host that accepts connections and never answers"]
    login: Annotated[Attempt, "When the application logs in there with a limit of 2 seconds"]

    entry: Annotated[Entry, "Given a stored entry"]
    entries: Annotated[Sequence[Entry], "When 1000 entries are stored at once"]
    load: Annotated[Attempt, "When 1000 entries are stored at once"]
    found: Annotated[Sequence[Entry], "When other sessions look for the entry"]
    first: Annotated[list[Entry], "Given two namespaces with different entries under the same keys"]
    """The entries of the first namespace."""
    second: Annotated[list[Entry], "Given two namespaces with different entries under the same keys"]
    """The entries of the second namespace."""
    replicas: Annotated[Sequence[str], "When 30 markers are written at the same time, and looked for on every replica"]
    """The replicas that were looked at."""
    markers: Annotated[History, "When 30 markers are written at the same time, and looked for on every replica"]
    """The marks, and the looks for them on the replicas."""
    touched: Annotated[int, "When the first namespace updates every key"]
    """How many rows the updates or deletes touched."""
    action: Annotated[str, "When 10 concurrent clients store 20 entries each"]
    """What the clients did, as their history names it."""

    extensions: Annotated[
        Mapping[str, Extension | NoAnswer | None], "When every member is asked for its vector extension"
    ]
    distances: Annotated[
        Mapping[str, float | NoAnswer],
        "When the cosine distance from [3, 4] to [4, 3] is computed by the write endpoint",
    ]
    """Server -> the distance that it computed."""
    searched: Annotated[Cluster, "Given 1000 entries with distinct embeddings"]
    """Its logins find the table that is searched."""
    searches: Annotated[Searches, "When the nearest 10 entries are searched for, 100 times"]
    answered: Annotated[AnsweredSearches, "When the nearest 10 entries are searched for, 100 times"]
    """The last searches, in one namespace or over all shards."""
    crowded: Annotated[
        CrowdedTable,
        "Given a copy of the table of entries with 1000 entries among 20000 of other namespaces",
    ]
    churn: Annotated[Workload, "Given entries of other namespaces that come and go in it"]
    member_searches: Annotated[
        Mapping[str, MemberSearches],
        "When the nearest 10 are searched for on every member, 40 times, while the table is vacuumed",
    ]
    earlier_searches: Annotated[Searches, "When the same searches are repeated"]
