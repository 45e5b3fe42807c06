"""A scenario as the reports speak of it: plain facts, read off behave's model without importing behave."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

SEVERITIES = ("blocker", "critical", "normal", "minor", "trivial")

EPICS = {
    "cluster": "Cluster",
    "sharding": "Sharding",
    "failover": "High availability",
    "cache": "Cache",
    "security": "Security",
}
"""Suite -> how the report names it, in the order of the report."""


@dataclass(frozen=True)
class Scenario:
    """One scenario; of an outline, one row."""

    path: str
    """The feature file, from `features/` on."""
    feature: str
    name: str
    row: tuple[tuple[str, str], ...] = ()
    """The cells of an outline's row, by heading."""
    tags: tuple[str, ...] = ()
    """Its own tags first, then those that it inherits."""
    prose: str = ""
    """Its description, or its feature's: why the promise exists."""
    line: int = 0
    """Where it begins in the feature file; of an outline, its row."""
    sentence: str = ""
    """The promise it belongs to, in one sentence; empty where the list of promises does not know it."""

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The ids that the catalogue of promises knows it by."""
        return tuple(tag.removeprefix("id.") for tag in self.tags if tag.startswith("id."))

    @cached_property
    def promise(self) -> str:
        """The promise it belongs to: its catalogue id, or its own name where it has none."""
        return self.ids[0] if self.ids else self.name

    @cached_property
    def suite(self) -> str:
        """The folder of the feature file: cluster, sharding, failover, cache, security."""
        return PurePath(self.path).parent.name

    @property
    def epic(self) -> str:
        return EPICS.get(self.suite, self.suite.capitalize())

    @cached_property
    def severity(self) -> str:
        """Its own severity, else the one that it inherits, else "normal"."""
        return next((tag for tag in self.tags if tag in SEVERITIES), "normal")

    @cached_property
    def key(self) -> str:
        """The same in every run, and no other scenario's: from the feature's path, the name and the row."""
        return hashlib.md5(repr((self.path, self.name, self.row)).encode(), usedforsecurity=False).hexdigest()


def scenario_of(model: Any) -> Scenario:
    """The facts of a `behave.model.Scenario`."""
    row = model._row
    prose = model.description or model.feature.description
    return Scenario(
        path=_from_features(PurePath(model.filename)),
        feature=model.feature.name,
        name=model.name,
        row=tuple(zip(row.headings, row.cells, strict=True)) if row else (),
        tags=tuple(dict.fromkeys(_tags(model))),
        prose="\n".join(prose),
        line=model.line,
    )


def _from_features(path: PurePath) -> str:
    begin = path.parts.index("features") if "features" in path.parts else 0
    return PurePath(*path.parts[begin:]).as_posix()


def _tags(model: Any) -> Iterator[str]:
    """behave's own `effective_tags` is a set: it forgets whose severity is the nearer one."""
    while model is not None:
        yield from map(str, model.tags)
        model = model.parent
