"""Runs: the facts of one run of the suite, and its folder.

`accept run` writes them, behave reads them.
"""

import fcntl
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter

from support.files import write_private
from support.places import WRITES_IN

CLUSTERS = WRITES_IN / ".accept" / "clusters"
"""The clusters of `accept up`, a folder each."""
CAPABILITIES_SEEN = WRITES_IN / ".accept" / "capabilities.json"
"""What each target had in its last run."""
RUNS = WRITES_IN / ".accept" / "runs"
"""The runs that are going on, or were killed, a folder each."""


@dataclass(frozen=True)
class Run:
    """The facts that all scenarios of a run share."""

    id: str
    directory: Path
    """The run's own folder: the topology, the journal, the histories. Owner-only, it holds passwords."""
    results: Path
    """The folder of Allure's results: the run's own, so that runs at the same time do not mix theirs."""
    seed: int
    required: frozenset[str] = field(default_factory=frozenset)
    """Capabilities that the user requires: if one is missing, the run fails."""
    shuffled: bool = False
    """The scenarios run in a random order, derived from the seed."""
    clusters: str = ""
    """On which clusters it runs, for the report, if there are several."""
    whole: Path | None = None
    """The folder of the whole run, if this is a share of one: the journal is there."""
    work: Path | None = None
    """The folder of the work that it shares with other processes, see `support.work`."""
    workers: bool | None = None
    """Whether its clusters have worker groups; None: as the settings say."""
    alone: bool = False
    """The run takes the scenarios that need the machine for themselves: the other processes have ended."""
    fail_on_flaky: bool = False
    """A scenario that passes only on the rerun makes the run fail."""
    replaceable: bool = False
    """The run boots its clusters: if one does not recover, another one takes its place."""
    picking: bool = True
    """Its scenarios come from the shared work, if there is any; False where they were chosen one by one."""

    @property
    def namespace(self) -> str:
        """The prefix of every namespace in which this run stores entries."""
        return f"accept-{self.id}"

    @property
    def topology(self) -> Path:
        return self.directory / "topology.json"

    @property
    def journal(self) -> Path:
        return (self.whole or self.directory) / "journal.jsonl"

    @property
    def told_in(self) -> Path | None:
        """Where a share tells the process that shows the whole run what its scenario does; None if it shows it."""
        return self.directory / "moment.json" if self.whole is not None else None

    @property
    def file(self) -> Path:
        return self.directory / "run.json"

    def hand_over(self, places: Iterable[str]) -> None:
        """Leave the scenarios in these places (file:line) to the run's next cluster, as this one is unfit."""
        self._handed_over.write_text("\n".join(places), encoding="utf-8")

    def taken_over(self) -> list[str] | None:
        """What the last cluster has left to the next one; None if it was fit to the end. Forgotten when read."""
        if not self._handed_over.exists():
            return None
        places = self._handed_over.read_text(encoding="utf-8").splitlines()
        self._handed_over.unlink()
        return places

    @property
    def _handed_over(self) -> Path:
        return self.directory / "handed-over"

    def note_unfit(self, why: str) -> None:
        """Note for the rerun why the cluster is no longer fit for faults; an empty text if it is fit again."""
        self._unfit.write_text(why, encoding="utf-8")

    @property
    def unfit(self) -> str:
        """Why the cluster was no longer fit for faults after the previous scenarios; empty if it still was."""
        return self._unfit.read_text(encoding="utf-8") if self._unfit.exists() else ""

    @property
    def _unfit(self) -> Path:
        return self.directory / "unfit"

    def note_opened(self) -> None:
        """Note that behave has opened the run, so that it knows the scenarios and can judge them."""
        self._opened.touch()

    def was_opened(self) -> bool:
        """Whether behave has opened the run since this was asked last."""
        opened = self._opened.exists()
        self._opened.unlink(missing_ok=True)
        return opened

    @property
    def _opened(self) -> Path:
        return self.directory / "opened"

    def save(self) -> None:
        write_private(self.file, _ADAPTER.dump_json(self, indent=2))

    @staticmethod
    def load(path: Path) -> "Run":
        return _ADAPTER.validate_json(path.read_bytes())

    def share(self, work: Path, workers: bool | None) -> "Run":
        """A share of this run, with its own folder beside this one's."""
        directory = self.directory.with_name(f"{self.id}-{new_id()}")
        directory.mkdir(mode=0o700)
        run = replace(self, directory=directory, whole=self.directory, work=work, workers=workers)
        run.save()
        return run


_ADAPTER = TypeAdapter(Run)
_LIFE = "life"
"""The file in a run's folder that is locked while the run is going on."""
STORED = "stored.jsonl"
"""The file in a run's folder with the namespaces in which it may have rows; see support/target/stored.py."""
_LEFT = "left"
"""The file in a run's folder that is there if something of the run is left in the target; see `note_left`."""
_HELD: list[IO[str]] = []


def new_seed() -> int:
    """A random seed that is short enough to be typed."""
    return secrets.randbelow(10**6)


def new_run_id() -> str:
    """The id of a run that begins now; `begun_at` reads it."""
    return f"{int(time.time()):08x}{secrets.token_hex(2)}"


def begin_run(
    seed: int | None = None,
    required: Iterable[str] = (),
    shuffled: bool = False,
    fail_on_flaky: bool = False,
    replaceable: bool = False,
) -> Run:
    """A new run with its own folder, readable by its owner only."""
    name = new_run_id()
    directory = (RUNS / name).absolute()
    directory.mkdir(parents=True, mode=0o700)
    _hold(directory / _LIFE)
    run = Run(
        id=name,
        directory=directory,
        results=directory / "results",
        seed=new_seed() if seed is None else seed,
        required=frozenset(required),
        shuffled=shuffled,
        fail_on_flaky=fail_on_flaky,
        replaceable=replaceable,
    )
    run.save()
    return run


class Life(Enum):
    """Whether a run is still going on."""

    GOING_ON = "going on"
    OVER = "over"
    UNKNOWN = "unknown"
    """Nothing is known of it here: the run began on another machine, or its folder was removed when it ended."""


def life_of(run: str) -> Life:
    """Whether the run with that id is still going on, as far as is known here."""
    try:
        with (RUNS / run / _LIFE).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return Life.UNKNOWN
    except BlockingIOError:
        return Life.GOING_ON
    return Life.OVER


def note_left(run: str) -> None:
    """Note that something of the run with that id is left in the target, where the next run finds it by its name."""
    with suppress(FileNotFoundError):  # it began on another machine
        (RUNS / run / _LEFT).touch()


def forget(directory: Path, notes: bool = True) -> None:
    """Remove the folder of a run that is over.

    If it has notes of what may be left in the target, those stay, for the next run that tests that target; so does the
    file that tells `life_of` that this run is over. Without `notes` the target is gone as well.
    """
    _release(directory / _LIFE)
    if not notes or not ((directory / STORED).exists() or (directory / _LEFT).exists()):
        shutil.rmtree(directory, ignore_errors=True)
        return
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in {STORED, _LEFT, _LIFE}:
            path.unlink(missing_ok=True)


def begun_at(run: str) -> float:
    """When the run with that id began, in seconds since the epoch."""
    return float(int(run[:8], 16))


def _hold(file: Path) -> None:
    """Lock a file until this process ends."""
    _HELD.append(file.open("w"))
    fcntl.flock(_HELD[-1], fcntl.LOCK_EX)


def _release(file: Path) -> None:
    """Unlock it, if this process has locked it: a process may have any number of runs, one after the other."""
    for one in [held for held in _HELD if held.name == str(file)]:
        one.close()
        _HELD.remove(one)


def new_id() -> str:
    """A unique name, for namespaces, key prefixes and folders."""
    return secrets.token_hex(4)
