"""What the master of a load tells its workers, and what both must agree on."""

import hashlib
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from pydantic import TypeAdapter

from support import sql
from support.engine import markers
from support.example_app.profile import Profile

# The messages. A worker greets, is told the plan (or why not), is ready, sends its history part by part, and says its
# end; the master ends the load.
HELLO, PLAN, REFUSED, READY, PART, END, HALT = "hello", "plan", "refused", "ready", "part", "end", "halt"

CLIENTS_EACH = 100_000
"""A worker's clients are numbered from its own number times this: so no two clients anywhere have one number."""
GRACE = 1.0
"""Seconds that the server has, after its own timeout, to say so before a client hangs up."""
MARK = "mark"
_PROFILE = TypeAdapter(Profile)


@dataclass(frozen=True)
class Plan:
    """One load; times in seconds."""

    namespace: str
    seconds: float
    """How long the clients of a worker write, from when its first one begins."""
    seed: int
    patience: float
    """The longest that one operation may take."""
    schema: str
    """The profile of the application's tables, as JSON."""
    session_options: str = ""
    """libpq's `options` of every session: where the tables are."""

    @cached_property
    def profile(self) -> Profile:
        """Which of the application's tables plays which part."""
        return _PROFILE.validate_json(self.schema)

    def of_target(self, endpoint: sql.Endpoint) -> sql.Endpoint:
        """A worker's own way to the database, to the tables that the master means."""
        if not self.session_options:
            return endpoint
        return replace(endpoint, options={**endpoint.options, "options": self.session_options})

    def mark(self, where: sql.Endpoint) -> None:
        """Leave something by which workers know this database."""
        markers.write(where, self.profile, f"{self.namespace}-{MARK}", MARK)

    def marked(self, where: sql.Endpoint) -> bool:
        """Whether this is the database that the master marked."""
        try:
            return markers.is_there(where, self.profile, f"{self.namespace}-{MARK}", MARK)
        except sql.Error:
            return False


def as_json(profile: Profile) -> str:
    """A profile as a plan carries it."""
    return _PROFILE.dump_json(profile).decode()


def worker_of(client: int) -> int:
    """The number of the worker that a client belongs to."""
    return client // CLIENTS_EACH


@cache
def version() -> str:
    """Of this program, to the byte: a worker of another one might write something else."""
    support = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(support.rglob("*.py")):
        digest.update(path.relative_to(support).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]
