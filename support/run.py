"""Work that several processes share out among them, without a word between them.

One run of the suite: what it is told, and what it leaves for its report. Written by `accept run`, read by behave.
"""

import fcntl
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Claims:
    """Each name goes to the first process that asks for it. `directory` is made with the first claim."""

    directory: Path

    def take(self, name: str) -> bool:
        """Whether it is ours: the kernel lets one process alone make a folder."""
        try:
            self._folder(name).mkdir(parents=True)
        except FileExistsError:
            return False
        return True

    def last(self, of: int) -> bool:
        """Whether the process that asks is the last of so many that do; each asks once."""
        return next(number for number in range(1, of + 1) if self.take(f"over-{number}")) == of

    def taken(self, name: str) -> bool:
        """Whether anybody has it."""
        return self._folder(name).exists()

    def _folder(self, name: str) -> Path:
        return self.directory / name.replace("/", "-")


CLUSTERS = Path(".accept/clusters")
"""Where `accept up` keeps its clusters, a folder each."""
RUNS = Path(".accept/runs")
"""Where runs keep what is theirs while they last, a folder each."""


@dataclass(frozen=True)
class Run:
    """The facts that all scenarios of a run share."""

    id: str
    directory: Path
    """The run's own folder: the topology, the journal, the histories. Owner-only, it holds passwords."""
    results: Path
    """Where Allure's results go; the run's own, for two runs at once must not meet there."""
    seed: int
    required: frozenset[str] = field(default_factory=frozenset)
    """Capabilities that the user declared: where one is missing, the run fails."""
    shuffled: bool = False
    """The scenarios run in a random order, which the seed decides."""
    jobs: int = 1
    """So many processes share it."""
    whole: Path | None = None
    """The folder of the run that this one is a share of: its journal is written, its features are claimed."""

    @property
    def namespace(self) -> str:
        """Every entry that this run stores is in this namespace, or in one that begins with it."""
        return f"accept-{self.id}"

    @property
    def topology(self) -> Path:
        return self.directory / "topology.json"

    @property
    def journal(self) -> Path:
        return (self.whole or self.directory) / "journal.jsonl"

    @property
    def claims(self) -> Claims | None:
        """Who runs which feature, where others take some too."""
        return Claims(self.whole / "claims") if self.whole else None

    @property
    def file(self) -> Path:
        return self.directory / "run.json"

    def save(self) -> None:
        self.file.touch(mode=0o600)
        self.file.write_bytes(_ADAPTER.dump_json(self, indent=2))

    @staticmethod
    def load(path: Path) -> "Run":
        return _ADAPTER.validate_json(path.read_bytes())

    def share(self) -> "Run":
        """A share of this run, with a folder of its own beside this one's."""
        directory = self.directory.with_name(f"{self.id}-{new_id()}")
        directory.mkdir(mode=0o700)
        run = replace(self, directory=directory, whole=self.directory)
        run.save()
        return run


_ADAPTER = TypeAdapter(Run)
_LIFE = "life"
"""The file in a run's folder that is locked while the run goes on."""
_HELD: list[IO[str]] = []


def begin_run(seed: int | None = None, required: Iterable[str] = (), shuffled: bool = False, jobs: int = 1) -> Run:
    """A new run with its own folder, which only its owner can read."""
    name = f"{int(time.time()):08x}{secrets.token_hex(2)}"
    directory = (RUNS / name).absolute()
    directory.mkdir(parents=True, mode=0o700)
    _hold(directory / _LIFE)
    run = Run(
        id=name,
        directory=directory,
        results=directory / "results",
        seed=secrets.randbelow(10**6) if seed is None else seed,
        required=frozenset(required),
        shuffled=shuffled,
        jobs=jobs,
    )
    run.save()
    return run


class Life(Enum):
    """Whether a run goes on."""

    GOING_ON = "going on"
    OVER = "over"
    UNKNOWN = "unknown"
    """It was not begun here."""


def life_of(run: str) -> Life:
    """Whether the run of that id goes on, as far as can be told here."""
    try:
        with (RUNS / run / _LIFE).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return Life.UNKNOWN
    except BlockingIOError:
        return Life.GOING_ON
    return Life.OVER


def note_over(run: Run) -> None:
    """Leave a note, and nothing else, by which `life_of` tells that the run is over."""
    run.directory.mkdir(mode=0o700, exist_ok=True)
    (run.directory / _LIFE).touch()


def begun_at(run: str) -> float:
    """When the run of that id began, in seconds since the epoch."""
    return float(int(run[:8], 16))


def _hold(file: Path) -> None:
    """Lock a file for as long as this process lives."""
    _HELD.append(file.open("w"))
    fcntl.flock(_HELD[-1], fcntl.LOCK_EX)


def new_id() -> str:
    """A name that no other run has; part of namespaces, key prefixes and folders."""
    return secrets.token_hex(4)
