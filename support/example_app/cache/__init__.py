"""The application's cache: entries and query results, cached in Redis; the database is authoritative.

`interface` is the contract for any cache under test; `repository` is the default implementation. What the default
guarantees, and how:

Consistency. While Redis works, a read that begins after a write has returned sees that write or a later one. When Redis
fails, the process that wrote still does. Another process may serve the old value for at most the staleness bound after
the commit, because every value expires that long after the moment just before it was loaded or committed.

Reads. A hit is one round trip. A reader that misses asks for the key's *lease*, which one reader holds at a time: it
loads from the database and fills the cache. The others wait for its value, for as long as a lease lasts, and then load
for themselves. A fill is accepted only while its lease is valid.

Writes. Just before the commit the writer drops the old values and *reserves* the keys: all readers' leases become
invalid, and no new one is given. Just after the commit it settles: it stores the new value if its reservation is
still valid. If not (because of another writer, an invalidation, an eviction or a timeout), it drops the key's value
and lease. So a value that was loaded before a commit cannot be cached after it. Of two concurrent writers, neither
leaves the older value in the cache after both have returned. A writer that dies halfway leaves no old value. A
transaction that is rolled back never reaches the cache.

Outages. Redis has half a second to answer. After a failure the process does not ask it for one second (a circuit
breaker), and the database answers instead. A change of the cache that may not have arrived is kept as a debt: its keys
are dropped before the cache is read again.

Sources: leases against stale sets and against stampedes: R. Nishtala et al., Scaling Memcache at Facebook (NSDI 2013),
section 3.2.1. A second kind of lease, for writers, which invalidates the first: S. Ghandeharizadeh, J. Yap and
H. Nguyen, Strong Consistency in Cache Augmented SQL Systems (Middleware 2014).
"""

from support.example_app.cache.interface import CacheConfig, CacheRepository, Question, Read, Source, Transaction
from support.example_app.cache.repository import open_repository

__all__ = ["CacheConfig", "CacheRepository", "Question", "Read", "Source", "Transaction", "open_repository"]
