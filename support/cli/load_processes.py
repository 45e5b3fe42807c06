"""The processes of a load: a master and workers, each started, watched and ended by us."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from support import sql
from support.cli import behaving
from support.cli.clusters import Kept
from support.errors import NothingJudged, UsageError
from support.hosts import reentry_argv
from support.timeouts import CONNECT
from support.waiting import NotYet, eventually

_STOPS_WITHIN = 10.0  # seconds to the master after Ctrl-C: for the operations that are under way
_UNPATCHED = {"LOCUST_SKIP_MONKEY_PATCH": "1"}
Process = subprocess.Popen[str]


def inside(cluster: Kept, arguments: Sequence[str]) -> int | None:
    """Run the same program inside the cluster's sandbox; its exit status. None when we are there already.

    As a child, which is sent Ctrl-C by us: nsenter, which stands in between, would end at once and leave it alone.
    """
    program = behaving.mortal([sys.executable, "-P", "-m", "support.cli", *arguments])
    argv = reentry_argv(cluster.sandbox_directory, program)
    if argv == program:
        return None
    with behaving.interruptible():
        entering = subprocess.Popen(behaving.mortal(argv), stdin=subprocess.DEVNULL, process_group=0)
        try:
            return entering.wait()
        except KeyboardInterrupt:
            for child in psutil.Process(entering.pid).children():
                child.send_signal(signal.SIGINT)
            return entering.wait()


def worker(where: sql.Endpoint, master: tuple[str, int], log: Path, cleanup: ExitStack) -> Process:
    """A worker on this machine, of the master at that address."""
    return start("worker", {"endpoint": asdict(where), "host": master[0], "port": master[1]}, log, cleanup)


def start(module: str, told: Mapping[str, Any], log: Path, cleanup: ExitStack) -> Process:
    """A program of support/load, until `cleanup`; it is told by its standard input, which nobody else can read."""
    command = behaving.mortal([sys.executable, "-P", "-m", f"support.load.{module}"])
    variables = {**os.environ, **_UNPATCHED}
    with log.open("a") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, process_group=0, env=variables, text=True
        )
    cleanup.callback(process.wait)
    cleanup.callback(process.kill)
    if process.stdin is not None:
        with process.stdin as line:
            json.dump(told, line)
    return process


def over(these: Sequence[Process], workers: Sequence[Process], log: Path) -> None:
    """Raises NothingJudged when one of these failed, or a worker of ours takes no part; a killed one is judged so."""
    for process in {*these, *workers}:
        if process.poll() is not None and (process.returncode > 0 or (process in these and process.returncode)):
            said = log.read_text(errors="replace").strip().splitlines() or ["it was killed"]
            raise NothingJudged(f"a process of the load ended with status {process.returncode}: {said[-1]} (see {log})")
    if any(process.poll() is None for process in these):
        raise NotYet("it goes on")


@contextmanager
def ended_early_by_ctrl_c(master: Process) -> Iterator[None]:
    """The master tells all workers, wherever they are, and waits for them."""
    try:
        yield
    except KeyboardInterrupt:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            master.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                master.wait(_STOPS_WITHIN)
        finally:
            signal.signal(signal.SIGINT, before)
        raise


def free(port: int) -> int:
    """That port; for 0 one that nobody listens on. Raises UsageError when it is taken."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UsageError(f"no master can listen on port {port} ({error.strerror}): say another by --port") from None
        return int(probe.getsockname()[1])


def await_master(address: tuple[str, int]) -> None:
    """It may be about to start. Raises NothingJudged when there is none."""
    try:
        eventually(
            lambda: socket.create_connection(address, timeout=CONNECT).close(),
            within=CONNECT,
            subject=f"a master at {address[0]}:{address[1]}",
            retry_on=(OSError,),
        )
    except AssertionError as error:
        raise NothingJudged(f"{error}; ./accept load --await 1 starts one") from None
