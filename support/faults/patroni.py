"""Patroni as a source of faults: a different configuration for a while, tags on a member, and a switchover.

A switchover is planned, and yet a disturbance for clients.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import requests

from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.target.cluster import Cluster
from support.target.member_files import files_of
from support.target.members import NO_ANSWER
from support.target.patroni_commands import Reply, reload_configuration, switch_over
from support.target.patroni_configuration import await_shared_configuration, parameters_of
from support.target.synchronous import standbys_waited_for
from support.target.temporary_configuration import TemporaryConfiguration
from support.waiting import NotYet, eventually

_STANDBY_NAMES = "synchronous_standby_names"


class Reconfigured(Fault):
    """Some keys of the configuration that all members share have different values."""

    def __init__(
        self, cluster: Cluster, words: str, values: Mapping[str, Any], require_effect: Callable[[Cluster], None]
    ) -> None:
        """`require_effect` raises NotYet until the members act on them."""
        self._cluster, self._words, self._require_effect = cluster, words, require_effect
        self._configuration = TemporaryConfiguration(cluster, words, values)

    def told(self, names: Names) -> str:
        return self._words

    def inject(self) -> None:
        self._configuration.begin()

    def require_in_effect(self) -> None:
        self._require_effect(self._cluster)

    def heal(self) -> None:
        self._configuration.end()


def asynchronous(cluster: Cluster) -> Reconfigured:
    """Asynchronous replication: neither Patroni's synchronous mode nor PostgreSQL's own setting makes commits wait for
    a standby."""

    def effect(cluster: Cluster) -> None:
        if waited_for := standbys_waited_for(cluster):
            raise NotYet(f"commits wait for {', '.join(waited_for)}")

    values: dict[str, Any] = {"synchronous_mode": False}
    if _STANDBY_NAMES in parameters_of(await_shared_configuration(cluster)):
        values["postgresql"] = {"parameters": {_STANDBY_NAMES: None}}
    return Reconfigured(cluster, "commits wait for no standby", values, effect)


def paused(cluster: Cluster) -> Reconfigured:
    """Patroni is in maintenance mode: nobody takes over from a leader that dies."""

    def effect(cluster: Cluster) -> None:
        if not cluster.view().paused:
            raise NotYet("Patroni is not paused")

    return Reconfigured(cluster, "failover is paused", {"pause": True}, effect)


class Tagged(Fault):
    """A member has additional tags, set in its own configuration file."""

    def __init__(self, cluster: Cluster, member: str, tags: Mapping[str, Any]) -> None:
        self._cluster, self._member, self._tags = cluster, member, tags
        self._files = files_of(cluster.site.hosts[member])
        self._changed = False

    def told(self, names: Names) -> str:
        return f"{names.member(self._member)} is tagged {', '.join(self._tags)}"

    def on_hosts(self) -> None:
        """See OnHosts."""
        before = self._files.configuration().get("tags") or {}
        self._changed = True
        self._files.change_configuration({"tags": {**before, **self._tags}})

    def inject(self) -> None:
        self.on_hosts()
        reload_configuration(self._cluster, self._member)

    def require_in_effect(self) -> None:
        """The other members know the tags, which they read from the DCS."""
        tags = next((one.tags for one in self._cluster.view().members if one.name == self._member), {})
        if not tags.items() >= self._tags.items():
            raise NotYet(f"the tags of {self._member} are {dict(tags)}")

    def heal(self) -> None:
        if not self._changed:
            return
        self._files.restore_configuration()
        with suppress(requests.RequestException):  # a member that is down reads it when it starts
            reload_configuration(self._cluster, self._member)


def without_failsafe(cluster: Cluster) -> Reconfigured:
    """Failsafe mode is off: a leader that loses the DCS stops leading, even if every other member answers it."""
    return _mode(cluster, "failsafe mode is off", {"failsafe_mode": False})


def strictly_synchronous(cluster: Cluster) -> Reconfigured:
    """A commit waits for a standby even when there is none."""
    return _mode(cluster, "commits wait for a standby even when there is none", {"synchronous_mode_strict": True})


def _mode(cluster: Cluster, words: str, values: dict[str, bool]) -> Reconfigured:
    return Reconfigured(cluster, words, values, ReadByEveryMember())


class ReadByEveryMember:
    """Raises NotYet until every member has read the configuration since the first call, and applied it."""

    def __init__(self) -> None:
        self._seen: dict[str, set[float]] = {}
        """Member -> each time that it saw the DCS, by its own clock, which may differ from ours."""

    def __call__(self, cluster: Cluster) -> None:
        for name in cluster.members:
            self._seen.setdefault(name, set()).add(cluster.patroni(name).status().get("dcs_last_seen", 0))
        # One loop may have begun before the change.
        if stale := [name for name in cluster.members if len(self._seen[name]) < 3]:
            raise NotYet(f"{', '.join(stale)} may not have read it")


class Switchover(Fault):
    """A switchover: the leader hands over to the candidate, or to the replica that Patroni chooses."""

    planned = True

    def __init__(self, cluster: Cluster, candidate: str | None = None) -> None:
        self._cluster = cluster
        self.leader, self.candidate = cluster.leader(), candidate
        self.reply: Reply | None = None

    @property
    def target_member(self) -> str:
        """See Fault."""
        return self.leader

    def told(self, names: Names) -> str:
        candidate = names.member(self.candidate) if self.candidate else "any other member"
        return f"{names.member(self.leader)} hands over to {candidate}"

    def inject(self) -> None:
        """Raises AssertionError, with Patroni's reason, if it is refused; NotInTime if it does not come to an end."""
        begun = time.monotonic()
        self.reply = switch_over(self._cluster, self.leader, self.candidate)
        if self.reply.undecided:
            within = time.monotonic() - begun + self._cluster.topology.timing.effect
            subject = f"{self}, of which Patroni says: {self.reply}"
            eventually(self.require_in_effect, within=within, subject=subject, retry_on=NO_ANSWER, since=begun)
        elif not self.reply.done:
            raise AssertionError(f"{self}: refused: {self.reply}")

    def require_in_effect(self) -> None:
        if self._cluster.leader() == self.leader:
            raise NotYet(f"{self.leader} leads")

    def heal(self) -> None:
        """Nothing to undo: the former leader becomes a replica by itself."""
