"""Which sessions see an entry."""

from support import sql
from support.application.entries import Entry, EntryStore
from support.application.profile import Profile
from support.errors import Inconclusive


def write_uncommitted(session: sql.Session, profile: Profile, entry: Entry) -> None:
    """Write an entry and leave its transaction open. Raises Inconclusive unless the session itself sees it."""
    store = EntryStore(session, profile)
    store.add(entry)
    if store.find(entry.namespace, entry.key) != [entry]:
        raise Inconclusive("the session that wrote the entry does not see it")


def sightings(endpoint: sql.Endpoint, profile: Profile, entry: Entry, sessions: int) -> tuple[Entry, ...]:
    """What so many new sessions find under the entry's key, one after another."""
    store = EntryStore(endpoint, profile)
    return tuple(found for _ in range(sessions) for found in store.find(entry.namespace, entry.key))
