"""One run of the suite: what it is told, and what it leaves for its report. Written by `accept run`, read by behave."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Run:
    """The facts that all scenarios of a run share."""

    id: str
    directory: Path
    """The run's own folder: the topology, the journal, the histories. Owner-only, it holds passwords."""
    results: Path
    """Where Allure's results go."""
    seed: int
    required: frozenset[str] = field(default_factory=frozenset)
    """Capabilities that the user declared: where one is missing, the run fails."""

    @property
    def namespace(self) -> str:
        """Every entry that this run stores is in this namespace, or in one that begins with it."""
        return f"accept-{self.id}"

    @property
    def topology(self) -> Path:
        return self.directory / "topology.json"

    @property
    def journal(self) -> Path:
        return self.directory / "journal.jsonl"

    @property
    def file(self) -> Path:
        return self.directory / "run.json"

    def save(self) -> None:
        self.file.touch(mode=0o600)
        self.file.write_bytes(_ADAPTER.dump_json(self, indent=2))

    @staticmethod
    def load(path: Path) -> "Run":
        return _ADAPTER.validate_json(path.read_bytes())


_ADAPTER = TypeAdapter(Run)


def new_id() -> str:
    """A name that no other run has; part of namespaces, key prefixes and folders."""
    return secrets.token_hex(4)
