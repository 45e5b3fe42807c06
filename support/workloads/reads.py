"""One client that reads the same entry again and again over one session, which is what "a simple query" means."""

from support import sql
from support.application.entries import Entry, EntryStore
from support.application.profile import Profile
from support.history import History
from support.workloads.recording import record

READ = "read"
_WARM_UP = 20  # reads that are not counted: the first ones fill caches and plan


def read_repeatedly(endpoint: sql.Endpoint, profile: Profile, entry: Entry, times: int) -> History:
    """Reads by key; the value of each operation is whether the entry came back as it was stored."""
    history = History()
    with sql.session(endpoint) as session:
        store = EntryStore(session, profile)
        for number in range(-_WARM_UP, times):
            into = history if number >= 0 else History()
            record(into, READ, entry.key, lambda: store.find(entry.namespace, entry.key) == [entry])
    return history
