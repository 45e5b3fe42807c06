"""The results of a bench: figures with their floors, their spread, and what changed since a baseline."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from support.errors import UsageError
from support.reporting.chance import Change, Spread, change, spread

RATE = "1/s"
"""The only unit for which more is better. For all others, less is better."""


@dataclass(frozen=True)
class Sample:
    """One run: a figure and the floor measured right after it."""

    figure: float
    floor: float | None = None
    why: str = ""
    """Why there is no floor."""


@dataclass(frozen=True)
class Measured:
    """All runs of a row."""

    unit: str
    samples: tuple[Sample, ...]

    @property
    def figure(self) -> Spread:
        return spread([one.figure for one in self.samples])

    @property
    def floor(self) -> float | None:
        """The best floor of all runs: what this machine can do. None if it could not be measured."""
        found = [one.floor for one in self.samples if one.floor]
        return (max if self.unit == RATE else min)(found, default=None)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each figure as a multiple of the floor. For a rate: how many times as fast the floor is."""
        return tuple(self._times(one.figure, self.floor) for one in self.samples if self.floor)

    @property
    def paired_ratio(self) -> float | None:
        """The median ratio of each figure to the floor of its own run. None without floors."""
        found = [self._times(one.figure, one.floor) for one in self.samples if one.floor]
        return spread(found).median if found else None

    def _times(self, figure: float, floor: float) -> float:
        return floor / figure if self.unit == RATE else figure / floor


@dataclass(frozen=True)
class Bench:
    """The measured rows by name, and the facts about the machine and the cluster."""

    facts: Mapping[str, str]
    rows: Mapping[str, Measured]
    format: Literal["accept bench 1"] = "accept bench 1"

    def save(self, path: Path) -> None:
        """Write it as JSON. Raises UsageError if the file cannot be written."""
        try:
            path.write_bytes(_ADAPTER.dump_json(self, indent=2))
        except OSError as error:
            raise UsageError(f"--save {path} cannot be written: {error.strerror}") from None

    @staticmethod
    def load(path: Path) -> "Bench":
        """Read what `save` wrote. Raises UsageError for any other file."""
        try:
            return _ADAPTER.validate_json(path.read_bytes())
        except OSError as error:
            raise UsageError(f"--against {path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise UsageError(f"--against {path} was not written by accept bench: {where}: {first['msg']}") from None


_ADAPTER = TypeAdapter(Bench)


def changes(now: Bench, before: Bench) -> dict[str, Change]:
    """The change of each row that both have."""
    return {name: change(row.ratios, before.rows[name].ratios) for name, row in now.rows.items() if name in before.rows}


def differences(now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    """The facts that differ between the two, one line each."""
    for name in sorted({*now, *before}):
        if now.get(name) != before.get(name):
            yield f"{name}: {before.get(name, 'none')} then, {now.get(name, 'none')} now"
