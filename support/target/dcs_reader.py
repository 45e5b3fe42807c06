"""Reads what Patroni keeps in its DCS, by Patroni's own package: `python -P dcs_reader.py`, a program of its own.

The first line of its input is a configuration as in Patroni's own file, with `scope`, `namespace` and the section of
one DCS; every further line asks for the state of a group, by its number. Each answer is a line of JSON, see `answer`.
It ends with its input.

It is a process of its own because Patroni's clients are made for a daemon: they wait for an unreachable DCS for ever,
exit when a login is refused, and replace the function by which urllib3 connects.
"""

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from typing import Any

ANSWER = 10.0
"""Seconds within which a question is answered, if only by saying what keeps it from that; the start comes on top."""
RETRY = 4
"""Seconds for which Patroni's client tries again, on all nodes together."""
_PROBE = 1.0  # seconds for a node to accept a connection
_PORTS = {"etcd": 2379, "etcd3": 2379}


class _Log(logging.Handler):
    """The last messages of Patroni's clients, which say more than their exceptions do."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: deque[str] = deque(maxlen=6)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        message = record.getMessage() if error is None else f"{record.getMessage()}: {error!r}"
        if message not in self.messages:
            self.messages.append(message)


class Reader:
    """Patroni's view of one cluster in its DCS."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._configuration = configuration
        self._log = _Log()
        self._sources: dict[bool, Any] = {}
        """Whether the cluster has groups -> Patroni's client for it."""
        self._missing = ""
        """The Python module without which Patroni's client does not work."""
        logging.basicConfig(level=logging.WARNING, handlers=[self._log])
        for kind in configuration.keys() - {"scope", "namespace"}:
            try:
                import_module(f"patroni.dcs.{kind}")  # Patroni itself says nothing about a driver that is missing
            except ImportError as error:
                self._missing = str(error.name)

    def answer(self, group: int) -> dict[str, Any]:
        """The state of a group, or `error` with what keeps it from being read; never later than ANSWER."""
        if self._missing:
            return {"error": f"{self._missing} is not installed", "missing": self._missing}
        self._log.messages.clear()
        found: list[dict[str, Any]] = []
        asking = threading.Thread(target=lambda: found.append(self._answer(group)), daemon=True)
        asking.start()
        asking.join(ANSWER)
        if found:
            return found[0]
        return {"error": "; ".join([*self._log.messages, f"nothing within {ANSWER:g} s"]), "over": True}

    def _answer(self, group: int) -> dict[str, Any]:
        try:
            return self._state(group)
        except BaseException as error:  # Patroni's clients exit when a login is refused
            said = dict.fromkeys([*self._log.messages, repr(error)])
            return {"error": "; ".join(said), "over": not self._sources}

    def _state(self, group: int) -> dict[str, Any]:
        # The coordinator's keys are in group 0, even where nothing is known about its workers.
        for grouped in (True,) if group else (False, True):
            cluster = self._source(grouped).get_cluster()
            cluster = cluster.workers.get(group) if group else cluster
            if cluster is not None and (cluster.initialize is not None or cluster.members):
                return _facts(cluster)
        return {"empty": True}

    def _source(self, grouped: bool) -> Any:
        if grouped not in self._sources:
            from patroni.dcs import get_dcs

            configuration = json.loads(json.dumps(self._configuration))
            configuration |= {"name": "acceptance", "ttl": 30, "loop_wait": 10, "retry_timeout": RETRY}
            configuration["patronictl"] = True  # reads only: no lease, no session, no watch
            if grouped:
                configuration["citus"] = {"group": 0, "database": "acceptance"}
            for kind, port in _PORTS.items():
                if kind in configuration:
                    configuration[kind] = _as_given(configuration[kind], port)
            self._sources[grouped] = get_dcs(configuration)
        return self._sources[grouped]


def _as_given(section: Mapping[str, Any], port: int) -> dict[str, Any]:
    """Ask the nodes at the addresses that were given, and not at those that they tell one another.

    Patroni's client learns etcd's release from the first node alone, which therefore has to be one that is up.
    """
    hosts = section.get("hosts")
    if not hosts:
        return dict(section)
    listed = hosts.split(",") if isinstance(hosts, str) else hosts
    addresses = [str(one).strip() for one in listed]
    with ThreadPoolExecutor(max_workers=len(addresses)) as probes:
        up = dict(zip(addresses, probes.map(lambda one: _listens(one, port), addresses), strict=True))
    return {"use_proxies": True, **section, "hosts": sorted(addresses, key=lambda one: not up[one])}


def _listens(address: str, port: int) -> bool:
    host, colon, given = address.rpartition(":")
    place = (host.strip("[]"), int(given)) if colon and given.isdigit() else (address, port)
    with suppress(OSError), socket.create_connection(place, timeout=_PROBE):
        return True
    return False


def _facts(cluster: Any) -> dict[str, Any]:
    """What the suite wants to know of Patroni's view."""
    failover = cluster.failover
    asked = (
        {
            "leader": failover.leader,
            "candidate": failover.candidate,
            "at": str(failover.scheduled_at) if failover.scheduled_at else None,
        }
        if failover
        else {}
    )
    return {
        "system": cluster.initialize or "",
        "leader": cluster.leader.name if cluster.leader else "",
        "standbys": list(cluster.sync.voters),
        "position": cluster.status.last_lsn,
        "retained": list(cluster.status.retain_slots),
        "failover": {name: value for name, value in asked.items() if value},
    }


def _questions() -> Iterator[int]:
    for line in sys.stdin:
        yield int(line)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the suite, whose end is the end of the input
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints
    reader = Reader(json.loads(sys.stdin.readline()))
    for group in _questions():
        print(json.dumps(reader.answer(group)), file=answers, flush=True)
    answers.flush()
    os._exit(0)  # without waiting for the threads of Patroni's clients


if __name__ == "__main__":
    main()
