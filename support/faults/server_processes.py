"""Single processes of a PostgreSQL server, told by the titles that they give themselves."""

from collections.abc import Iterable
from contextlib import suppress

import psutil

from support.faults.process import running
from support.hosts import Host


def server_processes(host: Host, kind: str) -> list[psutil.Process]:
    """Those of one kind ("startup", "walreceiver", ...) that run on a host now."""
    return [process for process in running(host) if _is(process, kind)]


def resume(processes: Iterable[psutil.Process]) -> None:
    """Let suspended processes go on; a server that was started again meanwhile has others."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _is(process: psutil.Process, kind: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        title = " ".join(process.cmdline())
        return title.startswith("postgres:") and f" {kind}" in title
    return False
