"""A cluster that is configured otherwise for a while, by Patroni's shared configuration or by a member's own file."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
import yaml

from support.cluster.cluster import Cluster
from support.cluster.orders import configure, read_file_again
from support.cluster.synchrony import standbys_waited_for
from support.errors import NotAvailable
from support.timeouts import RECOVERY
from support.waiting import NotYet, eventually


class Reconfigured:
    """Some keys of the configuration that all members share have other values."""

    def __init__(
        self, cluster: Cluster, words: str, values: Mapping[str, Any], require_effect: Callable[[Cluster], None]
    ) -> None:
        """`require_effect` raises NotYet until the members act by it."""
        self._cluster, self._words, self._values, self._require_effect = cluster, words, values, require_effect
        self._before: dict[str, Any] = {}

    def __str__(self) -> str:
        return self._words

    def inject(self) -> None:
        now = self._cluster.patroni(self._cluster.leader()).configuration()
        self._before = {name: now.get(name) for name in self._values}
        configure(self._cluster, self._values)

    def require_bitten(self) -> None:
        self._require_effect(self._cluster)

    def cure(self) -> None:
        if not self._before:
            return
        eventually(  # a DCS that was just switched on needs a moment
            lambda: configure(self._cluster, self._before),
            within=RECOVERY,
            subject=f"it is over that {self}",
            retry_on=(NotAvailable, requests.RequestException),
        )


def asynchronous(cluster: Cluster) -> Reconfigured:
    """A commit waits for no standby."""

    def effect(cluster: Cluster) -> None:
        if waited_for := standbys_waited_for(cluster):
            raise NotYet(f"commits wait for {', '.join(waited_for)}")

    return Reconfigured(cluster, "commits wait for no standby", {"synchronous_mode": False}, effect)


def paused(cluster: Cluster) -> Reconfigured:
    """Patroni leaves everything as it is: nobody takes over from a leader that dies."""

    def effect(cluster: Cluster) -> None:
        if not cluster.view().paused:
            raise NotYet("Patroni is not paused")

    return Reconfigured(cluster, "failover is paused", {"pause": True}, effect)


class Tagged:
    """A member has further tags, by its own configuration file."""

    def __init__(self, cluster: Cluster, member: str, tags: Mapping[str, Any]) -> None:
        self._cluster, self._member, self._tags = cluster, member, tags
        self._file: Path = cluster.sandbox.hosts[member].directory / "patroni.yml"
        self._before = ""

    def __str__(self) -> str:
        return f"{self._member} is tagged {', '.join(self._tags)}"

    def inject(self) -> None:
        self._before = self._file.read_text()
        contents = yaml.safe_load(self._before)
        contents["tags"] = {**contents.get("tags", {}), **self._tags}
        self._file.write_text(yaml.safe_dump(contents))
        read_file_again(self._cluster, self._member)

    def require_bitten(self) -> None:
        """The others must know it too: they read it in the DCS."""
        tags = next((one.tags for one in self._cluster.view().members if one.name == self._member), {})
        if not tags.items() >= self._tags.items():
            raise NotYet(f"the tags of {self._member} are {dict(tags)}")

    def cure(self) -> None:
        if not self._before:
            return
        self._file.write_text(self._before)
        with suppress(requests.RequestException):  # a member that is down reads it when it starts
            read_file_again(self._cluster, self._member)
