"""The supervisor: the parent of everything in a sandbox, and the one place that knows what runs there.

It is single-threaded and does one thing at a time, each in milliseconds; who waits for something asks again. It
ends when the worker ends or when the process outside is gone, and all of the sandbox ends with it.
"""

import os
import selectors
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.hosts.backend import Backend
from support.hosts.links import Links
from support.hosts.registry import Registry
from support.hosts.relay import Relay
from support.hosts.rpc import serve_one

OUTER_GONE = 128 + signal.SIGHUP  # the exit status when the process outside went first


class Supervisor:
    """Answers calls, starts what it is asked to, and reaps what ends."""

    def __init__(self, directory: Path, sandbox: int, backend: Backend, relay: Relay) -> None:
        self._registry = Registry(directory, sandbox, backend)
        self._links = Links(self._registry, backend)
        self._relay = relay
        self._worker = 0
        self._status: int | None = None

    def serve(self, worker: int, line: socket.socket, lifeline: int) -> int:
        """Serve calls on `line` until the worker ends; returns its exit status.

        `lifeline` reads end-of-file when the outer process is gone.
        """
        self._worker = worker
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        os.write(wake, b"!")  # the worker may have ended before anybody listened
        own: dict[str, Callable[..., object]]
        own = {"publish": self.publish, "close": self.close, "end": self.end}
        calls = {**own, **self._registry.calls(), **self._links.calls()}
        with selectors.DefaultSelector() as selector:
            for source in (woken, line, lifeline):
                selector.register(source, selectors.EVENT_READ)
            while self._status is None:
                ready = {key.fileobj for key, _ in selector.select()}
                self._reap()  # first: an answer never speaks of a process that has ended
                if woken in ready:
                    os.read(woken, 4096)
                if line in ready:
                    serve_one(line, calls)
                if lifeline in ready:
                    self._status = OUTER_GONE
        return self._status

    def publish(self, targets: Mapping[str, Sequence[Any]]) -> None:
        """Lead each published name to an address and port."""
        self._relay.lead({name: (address, port) for name, (address, port) in targets.items()})

    def close(self) -> list[int]:
        """Switch all hosts off and publish nothing; returns the processes that are not gone yet."""
        self._relay.lead({})
        return self._registry.power_off_all()

    def end(self, number: int) -> None:
        """Send the worker a signal."""
        with suppress(ProcessLookupError):
            os.kill(self._worker, number)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._worker:
                    code = os.waitstatus_to_exitcode(status)
                    self._status = code if code >= 0 else 128 - code
                for keeper in (self._registry, self._links, self._relay):
                    keeper.note_end(pid)
