"""Starts Patroni as its own program `patroni FILE` does, but sooner: `python -P patroni_start.py FILE`.

Patroni reads a long list of PostgreSQL's parameters whenever it starts, and once more in a process of its own whenever
it starts PostgreSQL. libyaml, which PyYAML comes with, takes half the time for that.

A new member (one without data) is started together with etcd: while etcd elects its leader, everything is imported.
Patroni itself must not begin before, as it sleeps for 5 seconds when it finds no etcd.
"""

import ssl
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from support.errors import NotInTime
from support.waiting import NotYet, eventually

if hasattr(yaml, "CSafeLoader"):
    yaml.SafeLoader = yaml.CSafeLoader  # type: ignore[misc, assignment]  # also where multiprocessing imports this file again

LATEST = 10.0
"""Seconds after which Patroni begins even if no etcd is healthy."""
_ANSWER = 1.0  # seconds to wait for an answer
# patroni.postgresql before patroni.ha: the two import each other.
_NEEDED = ("patroni.__main__", "patroni.postgresql", "patroni.ha", "patroni.api", "patroni.dcs.etcd3")


def await_quorum(etcd: Mapping[str, Any], within: float = LATEST) -> None:
    """Wait until one of etcd's nodes says that it belongs to a quorum, or until the time is over.

    `etcd` is its section in Patroni's configuration.
    """
    with suppress(NotInTime):
        eventually(partial(_require_quorum, etcd), within=within, subject="etcd has a quorum", pause=0.05)


def _require_quorum(etcd: Mapping[str, Any]) -> None:
    scheme, tls = etcd.get("protocol", "http"), None
    if scheme == "https":
        tls = ssl.create_default_context(cafile=etcd["cacert"])
        tls.load_cert_chain(etcd["cert"], etcd["key"])
    without_proxy = urllib.request.ProxyHandler({})  # ignore the environment: Patroni itself uses no proxy either
    opener = urllib.request.build_opener(without_proxy, urllib.request.HTTPSHandler(context=tls))
    for node in etcd["hosts"]:
        url = f"{scheme}://{node}/health"
        with suppress(OSError), opener.open(url, timeout=_ANSWER) as answer:
            if b'"true"' in answer.read():
                return
    raise NotYet("no node says so")


def _start(file: Path) -> None:
    configuration = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not Path(configuration["postgresql"]["data_dir"]).exists():
        for module in _NEEDED:
            import_module(module)
        if "etcd3" in configuration:
            await_quorum(configuration["etcd3"])
    import_module("patroni.__main__").main()


if __name__ == "__main__":
    _start(Path(sys.argv[1]))
