"""What the user asked of `accept run`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from support.cli.clusters import KeptCluster
from support.cli.suites import Selection
from support.embedded.swarm_shapes import shape_like
from support.errors import UsageError
from support.settings import Settings
from support.target.capabilities import CAPABILITIES, SHARDS
from support.vocabulary import suggestion

_INCOMPATIBLE = (("jobs", "keep"), ("keep", "repeat"), ("repeat", "rerun"))
"""Pairs of options that do not go together; "jobs" stands for more than one that the user asked for."""


@dataclass(frozen=True)
class RunOptions:
    """What the user asked for. Raises UsageError for options that do not go together."""

    selection: Selection
    settings: Settings
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The settings given on the command line, which behave has to know, too."""
    cluster: KeptCluster | None = None
    """A running cluster to use instead of a new one."""
    required: frozenset[str] = frozenset()
    """Capabilities without which the run fails."""
    seed: int | None = None
    keep: bool = False
    """Keep the embedded cluster up after the run."""
    repeat: int = 1
    """How many runs, on the same cluster, each with the next seed."""
    shuffled: bool = False
    jobs: int | None = None
    """How many clusters the scenarios are spread over; None: as many as the machine can handle and the work is
    worth."""
    rerun: bool = False
    """Run what failed once more, unless a result was wrong."""
    fail_on_flaky: bool = False
    """Fail if a scenario passes only on the rerun."""
    asked: tuple[str, str] = ("", "")
    """The options that say what is tested, and what the run is limited to: the arguments of `Journal.asked`."""

    def __post_init__(self) -> None:
        if unknown := sorted(self.required - CAPABILITIES.keys()):
            raise UsageError("\n".join(f"--require {one}: {_no_capability(one)}" for one in unknown))
        if self.settings.accept_like:
            shape_like(self.settings.accept_like)
        other_target = self.cluster or self.settings.external
        if self.settings.accept_own_schema and (self.cluster or not self.settings.external):
            raise UsageError("--own-schema is for your own cluster; the embedded one already has the example's tables")
        if self.keep and other_target:
            raise UsageError("--keep is for a cluster that the run itself boots")
        if self.settings.accept_like and other_target:
            raise UsageError("--like boots a cluster, but the target is another one; leave out one of the two")
        several = self.jobs is not None and self.jobs > 1
        asked = {"jobs": several, "keep": self.keep, "repeat": self.repeat > 1, "rerun": self.rerun}
        for one, other in _INCOMPATIBLE:
            if asked[one] and asked[other]:
                raise UsageError(f"--{one} and --{other} do not go together")
        if self.fail_on_flaky and not self.rerun:
            raise UsageError("--fail-on-flaky is about scenarios that pass on the rerun; it goes with --rerun")
        if several and other_target:
            raise UsageError("--jobs is for clusters that the run itself boots; this target is one cluster")
        if several and self.settings.accept_like:
            raise UsageError("--jobs and --like do not go together: the ports of such a cluster are published once")

    @property
    def spreads(self) -> bool:
        """Whether the run may choose its clusters: they are its own, and end with it."""
        other_target = self.cluster or self.settings.external
        return not (other_target or self.keep or self.settings.accept_like)

    def with_workers(self, workers: bool | None) -> "RunOptions":
        """These options, for a cluster with or without worker groups; None: as the settings say."""
        if workers is not False:
            return self
        settings = self.settings.model_copy(update={"accept_workers": 0})
        return replace(self, settings=settings, required=self.required - SHARDS)


def _no_capability(name: str) -> str:
    otherwise = "; ./accept doctor lists them, such as citus"
    return f"there is no such capability{suggestion(name, CAPABILITIES, otherwise=otherwise)}"
