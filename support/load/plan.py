"""What the master of a load tells its workers, and what both have to agree on."""

import hashlib
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from pydantic import TypeAdapter

from support import sql
from support.engine import markers
from support.example_app.profile import Profile

# The messages. A worker says hello and gets the plan or a refusal. It says that it is ready, sends its history in
# parts, and reports its end. The master halts the load.
HELLO, PLAN, REFUSED, READY, PART, END, HALT = "hello", "plan", "refused", "ready", "part", "end", "halt"

CLIENTS_EACH = 100_000
"""A worker numbers its clients from its own number times this, so that each client has a number of its own."""
GRACE = 1.0
"""Seconds that a client waits beyond the server's timeout for the server to report it."""
MARK = "mark"
_PROFILE = TypeAdapter(Profile)


@dataclass(frozen=True)
class LoadPlan:
    """One load. Times are in seconds."""

    namespace: str
    seconds: float
    """How long the clients of a worker write, counted from its first client."""
    seed: int
    patience: float
    """The time limit of one operation."""
    schema: str
    """The profile of the application's tables, as JSON."""
    session_options: str = ""
    """libpq's `options` for every session; they say where the tables are."""

    @cached_property
    def profile(self) -> Profile:
        """The application's tables and their roles."""
        return _PROFILE.validate_json(self.schema)

    @property
    def namespaces(self) -> tuple[str, str]:
        """Where entries are stored: the ledger, and the mark."""
        return self.namespace, f"{self.namespace}-{MARK}"

    def of_target(self, endpoint: sql.Endpoint) -> sql.Endpoint:
        """A worker's endpoint, with the options that lead to the master's tables."""
        if not self.session_options:
            return endpoint
        return replace(endpoint, options={**endpoint.options, "options": self.session_options})

    def mark(self, where: sql.Endpoint) -> None:
        """Write an entry by which workers recognise this database."""
        markers.write(where, self.profile, f"{self.namespace}-{MARK}", MARK)

    def marked(self, where: sql.Endpoint) -> bool:
        """Whether the master marked this database."""
        try:
            return markers.is_there(where, self.profile, f"{self.namespace}-{MARK}", MARK)
        except sql.Error:
            return False


def as_json(profile: Profile) -> str:
    """A profile as JSON, for a plan."""
    return _PROFILE.dump_json(profile).decode()


def worker_of(client: int) -> int:
    """The number of the worker that a client belongs to."""
    return client // CLIENTS_EACH


@cache
def version() -> str:
    """A digest of the suite's code: a worker with different code might write something else."""
    support = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(support.rglob("*.py")):
        digest.update(path.relative_to(support).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
