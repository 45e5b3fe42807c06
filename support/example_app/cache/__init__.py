"""The application's cache: its entries and the answers of its queries, kept in Redis, owned by the database.

`interface` is the contract that any cache under test is held to, `repository` the default that keeps it. What that
promises, and how:

What is served. With Redis at hand, a read that begins after a write has returned sees that write or a later one. When
Redis fails, the process that wrote still does; another process may serve the old value for at most the staleness
bound after the commit, because every value expires so long after the moment just before it was loaded or committed.

Reads. A hit is one round trip. Who misses asks for the key's *lease*, which one reader at a time holds: it loads from
the database and fills the cache, while the others wait for its value, for as long as a lease lasts, and then load
for themselves. A fill is accepted only while its lease stands.

Writes. Just before the commit the writer drops the old values and *reserves* the keys: any reader's lease is void,
and no new one is given. Just after the commit it settles: the new value goes in if its reservation still stands;
if not (another writer came between, an invalidation, an eviction, the time ran out), the key is dropped, value and
lease. So a value that was loaded before a commit cannot arrive after it, of two writers that cross neither leaves
the older value behind for longer than until both have returned, and a writer that dies half-way leaves nothing old.
A transaction that is rolled back never reached the cache.

Outages. Redis has half a second to answer; after a failure nobody asks it for a second (a circuit breaker),
and the database answers instead. A change of the cache that may or may not have arrived is kept as a debt: its keys
are dropped before the cache is read again.

Sources: leases against stale sets and against stampedes are of R. Nishtala et al., Scaling Memcache at Facebook
(NSDI 2013), section 3.2.1; a second kind of lease, for writers, which voids the first, is of S. Ghandeharizadeh,
J. Yap and H. Nguyen, Strong Consistency in Cache Augmented SQL Systems (Middleware 2014).
"""

from support.example_app.cache.interface import CacheRepository, Means, Question, Read, Source, Transaction
from support.example_app.cache.repository import open_repository

__all__ = ["CacheRepository", "Means", "Question", "Read", "Source", "Transaction", "open_repository"]
