"""Which sessions see an entry."""

from support import sql
from support.application.entries import Entry, EntryStore
from support.errors import NothingProved


def write_uncommitted(session: sql.Session, entry: Entry) -> None:
    """Write an entry and leave its transaction open. Raises NothingProved unless the session itself sees it."""
    store = EntryStore(session)
    store.add(entry)
    if store.find(entry.namespace, entry.key) != [entry]:
        raise NothingProved("the session that wrote the entry does not see it")


def sightings(endpoint: sql.Endpoint, entry: Entry, sessions: int) -> tuple[Entry, ...]:
    """What so many new sessions find under the entry's key, one after another."""
    return tuple(found for _ in range(sessions) for found in EntryStore(endpoint).find(entry.namespace, entry.key))
