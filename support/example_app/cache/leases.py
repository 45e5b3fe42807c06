"""What is stored in Redis: values, and for each key at most one lease, which says who may store its value.

A reader that misses takes the lease, to load and fill. A writer that is about to commit takes it so that nobody fills
meanwhile. Dropping a value always drops its lease as well, so that a value loaded before can no longer be filled in.
The package's docstring says why that is enough.

Every change is one script, atomic in Redis. Values expire by Redis's own clock, counted from when the lease was taken,
which is before the value was loaded or committed. In a Redis Cluster there is one script for each slot: a value and
its lease are in the same slot, as their keys have a hash tag.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import redis
from redis.cluster import RedisCluster
from redis.crc import key_slot


class Breaker:
    """A circuit breaker: after a failure nobody asks Redis until `pause` (seconds) has passed; then one caller tries.

    Safe to share between threads. Source: M. Nygard, Release It!, "Circuit Breaker".
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._lock = threading.Lock()
        self._next_try: float | None = None

    def admits(self) -> bool:
        """Whether the caller may ask now. While the breaker is open, one caller per pause may."""
        with self._lock:
            now = time.monotonic()
            if self._next_try is not None and now < self._next_try:
                return False
            if self._next_try is not None:
                self._next_try = now + self._pause
            return True

    def succeeded(self) -> None:
        """Redis answered: everyone may ask again."""
        with self._lock:
            self._next_try = None

    def failed(self) -> None:
        """Redis did not answer: nobody asks it again until the pause has passed."""
        with self._lock:
            self._next_try = time.monotonic() + self._pause


_LOOK = """
local states = {}
for i = 1, #KEYS, 2 do
  local value, holder = redis.call('GET', KEYS[i]), redis.call('GET', KEYS[i + 1])
  if value then
    table.insert(states, value)
  elseif not holder then
    redis.call('SET', KEYS[i + 1], ARGV[1], 'PX', ARGV[2])
    table.insert(states, 1)
  else
    table.insert(states, string.sub(holder, 1, 1) == 'w' and 3 or 2)
  end
end
return states
"""
_LEASED, _BUSY = 1, 2  # 3: reserved by a writer

_PUT = """
for i = 1, #KEYS, 2 do
  local value, ours = ARGV[4 + (i + 1) / 2], redis.call('GET', KEYS[i + 1]) == ARGV[1]
  local left = ARGV[2] - (ARGV[3] - redis.call('PTTL', KEYS[i + 1]))
  if ours or ARGV[4] == 'settle' then
    redis.call('DEL', KEYS[i], KEYS[i + 1])
  end
  if ours and value ~= '' and left > 0 then
    redis.call('SET', KEYS[i], value, 'PX', left)
  end
end
"""

_RESERVE = """
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  redis.call('SET', KEYS[i + 1], ARGV[1], 'PX', ARGV[2])
end
"""

_ERRORS = (redis.RedisError, redis.exceptions.RedisClusterException)
_BATCH = 1000  # debts that are settled in one round trip


class Unavailable(Exception):
    """Redis gave no usable answer; the caller goes on without it."""


@dataclass(frozen=True)
class Looked:
    """The result of looking up some keys."""

    found: dict[str, bytes]
    """Keys that have a value."""
    leased: list[str]
    """Keys without a value whose lease we have now, to load and fill them."""
    busy: list[str]
    """Keys without a value that another reader is loading. A key in none of the three is reserved by a writer."""


class Leases:
    """Values and leases, as one application process uses them. Safe to share between threads. Times are in seconds.

    Every method raises Unavailable when Redis is down, frozen or full, or refuses the request. Keys that should have
    been dropped then, or that may or may not have been changed, become a debt: they are dropped before anything else
    is asked. A debt is forgotten after `staleness_bound`: by then everything that was in Redis before has expired.
    """

    def __init__(
        self, client: redis.Redis, breaker: Breaker, *, time_to_live: float, lease: float, staleness_bound: float
    ) -> None:
        self._client, self._breaker = client, breaker
        self._milliseconds = {"ttl": round(time_to_live * 1000), "lease": round(lease * 1000)}
        self._staleness_bound = staleness_bound
        self._look, self._put, self._reserve = map(client.register_script, (_LOOK, _PUT, _RESERVE))
        self._debts: dict[str, float] = {}  # key -> when it is forgotten; the oldest first
        self._lock = threading.Lock()

    def look(self, keys: Sequence[str], token: str) -> Looked:
        """Get the values of the keys, and take the lease of each key that has neither a value nor a lease."""
        answers: list[tuple[str, bytes | int]] = []
        with self._asking(keys):
            for some in self._by_slot(keys):
                states = self._looked(_with_leases(some), [f"r{token}", self._milliseconds["lease"]])
                answers += zip(some, states, strict=True)
        leased, busy = ([key for key, one in answers if one == state] for state in (_LEASED, _BUSY))
        return Looked({key: one for key, one in answers if isinstance(one, bytes)}, leased, busy)

    def fill(self, values: Mapping[str, bytes], token: str) -> None:
        """Store loaded values, each only if our lease on it is still valid."""
        self._put_in(values, f"r{token}", "fill")

    def reserve(self, keys: Sequence[str], token: str) -> None:
        """Before a commit: drop the old values, and prevent fills of these keys until `settle`."""
        with self._asking(keys, required=True):
            for some in self._by_slot(keys):
                self._reserve(_with_leases(some), [f"w{token}", self._milliseconds["lease"]])

    def settle(self, values: Mapping[str, bytes | None], token: str) -> None:
        """After a commit: store the new values. Drop keys whose value is None or whose reservation is not valid."""
        self._put_in(values, f"w{token}", "settle")

    def drop(self, keys: Sequence[str]) -> None:
        """Drop values and leases."""
        with self._asking(keys, required=True):
            self._client.unlink(*_with_leases(keys))

    def close(self) -> None:
        """Drop what is still owed, if Redis answers, and close the connections."""
        with suppress(*_ERRORS):
            self._pay()
        self._client.close()

    def _put_in(self, values: Mapping[str, bytes | None], holder: str, how: str) -> None:
        times = self._milliseconds
        with self._asking(values, required=how == "settle"):
            for some in self._by_slot(list(values)):
                contents = [values[key] or b"" for key in some]
                self._put(_with_leases(some), [holder, times["ttl"], times["lease"], how, *contents])

    def _by_slot(self, keys: Sequence[str]) -> list[list[str]]:
        """The keys; of a Redis Cluster, those of each slot together."""
        if not isinstance(self._client, RedisCluster):
            return [list(keys)]
        found: dict[int, list[str]] = {}
        for key in keys:
            found.setdefault(key_slot(key.encode()), []).append(key)
        return list(found.values())

    def _looked(self, names: Sequence[str], arguments: Sequence[str | int]) -> list[bytes | int]:
        """The answer of the script, on a connection of the pool: every read waits for it.

        redis-py's own way around the same request, with its statistics, costs more than the rest of a cached read.
        """
        if isinstance(self._client, RedisCluster):
            found: list[bytes | int] = self._look(names, arguments)
            return found
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()  # redis-py has no types for it
        states: list[bytes | int]
        try:
            connection.send_command("EVALSHA", self._look.sha, len(names), *names, *arguments)
            states = connection.read_response()
        except redis.exceptions.NoScriptError:
            states = self._look(names, arguments)  # loads it as well
        finally:
            pool.release(connection)
        return states

    @contextmanager
    def _asking(self, keys: Iterable[str], *, required: bool = False) -> Iterator[None]:
        """Around a request that changes these keys. One that is `required` becomes a debt if it cannot be sent."""
        if not self._breaker.admits():
            if required:
                self._owe(keys)
            raise Unavailable("Redis did not answer a moment ago")
        try:
            self._pay()
            yield
        except _ERRORS as error:
            self._owe(keys)
            if isinstance(error, redis.ConnectionError | redis.TimeoutError | redis.exceptions.RedisClusterException):
                self._breaker.failed()
                if not isinstance(self._client, RedisCluster):  # which looks after its connections itself
                    self._client.connection_pool.disconnect(inuse_connections=False)  # they are dead, too
            raise Unavailable(f"Redis: {type(error).__name__}: {error}") from error
        except BaseException:  # interrupted: we cannot know either whether the request was executed
            self._owe(keys)
            raise
        self._breaker.succeeded()

    def _owe(self, keys: Iterable[str]) -> None:
        now = time.monotonic()
        with self._lock:
            for key in keys:
                self._debts.pop(key, None)
                self._debts[key] = now + self._staleness_bound
            while self._debts and next(iter(self._debts.values())) <= now:
                del self._debts[next(iter(self._debts))]

    def _pay(self) -> None:
        while self._debts:
            with self._lock:
                due = dict(islice(self._debts.items(), _BATCH))
            if due:
                self._client.unlink(*_with_leases(due))
            with self._lock:
                for key, until in due.items():
                    if self._debts.get(key) == until:  # else it was owed again meanwhile
                        del self._debts[key]


def _with_leases(keys: Iterable[str]) -> list[str]:
    """Each key and the key of its lease; no key of a value ends like that."""
    return [name for key in keys for name in (key, f"{key}?lease")]
