"""What the steps about the cache hand to one another within a scenario."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from support.cache.clients import CacheClient
from support.cache.redis_server import MemoryPressure
from support.cache.round_trips import Batch, RoundTripCounter
from support.engine.world import Handover, missing
from support.example_app.cache import Read
from support.target.redis import RedisFacts


@dataclass(frozen=True)
class ColdStart:
    """The cache was emptied while clients were reading."""

    emptied: float
    """When that was done (time.monotonic)."""
    removed: int
    """How many keys Redis had lost then."""
    loads: Mapping[bytes, int]
    """Load, as it was sent to the database since -> how often."""


class CacheHandover(Handover):
    """The history of what the clients did is in `World.history`, as in every scenario."""

    clients: Annotated[list[CacheClient], "Given 2 clients of the cache"]
    """The clients of the cache under test."""

    @property
    def client(self) -> CacheClient:
        """The only client. Raises MissingStep if there are several."""
        if len(self.clients) != 1:
            raise missing("a single client", "Given a client of the cache")
        return self.clients[0]

    keys: Annotated[
        Sequence[str],
        "When entries are changed in transactions that are rolled back, while every client of the cache reads them",
    ]
    """The entries that the clients worked on."""

    expected: Annotated[Mapping[str, Any], "When query results of these types are requested twice through the cache"]
    """Name -> the value that the cache has to return."""
    answers: Annotated[list[dict[str, Read]], "When query results of these types are requested twice through the cache"]
    """What each client in turn was answered: name -> answer."""

    counter: Annotated[RoundTripCounter, "Given a client of the cache whose round trips to Redis are counted"]
    single: Annotated[Batch, "When 1 entry, and then 100 entries at once, are stored through the cache"]
    batch: Annotated[Batch, "When 100 cached entries are read at once"]

    redis: Annotated[RedisFacts, "When Redis reports its state"]
    replicas: Annotated[Mapping[str, RedisFacts | str], "When Redis reports its state"]
    """Address -> the same of a server that may have to take over, or why it does not report it."""
    pressure: Annotated[MemoryPressure, "When more data is stored in Redis than its memory limit allows"]
    throughput: Annotated[float, "When a cached entry is read from the cache for 3 seconds"]
    """Operations per second."""

    cold_start: Annotated[ColdStart, "When the cache is emptied while 40 readers read the entries"]

    silent_until: Annotated[
        float, "When Redis is killed for a while, and every client of the cache keeps reading and writing"
    ]
    """Until then (time.monotonic) no Redis could answer for the clients' keys; 0 if one could during the outage."""

    new_leader_since: Annotated[
        float, "When a failover loses a write to an entry that every client of the cache keeps reading"
    ]
    """When another member was first seen as leader (time.monotonic)."""
