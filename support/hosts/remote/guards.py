"""Faults on users' hosts that last, and that end by themselves when nobody answers for them any more."""

import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from support.errors import Inconclusive, ProcessFailed
from support.hosts.remote.clients import HostFailed, HostRefused, HostUnreached
from support.hosts.remote.reach import Reach
from support.waiting import eventually

GRACE = 20
"""Seconds without a beat after which the guard on the host undoes a fault."""
IN_TIME = {"GRACE": str(GRACE)}
"""For the script, to tell a run that is at work from one that was killed."""
LONGEST = 300
"""Seconds after which it does so in any case, unless the cluster's timing needs longer."""
BEAT = 5.0
_HEALS_WITHIN = 30.0
_LOST = "could not be undone, and cannot be: the engine has no such container any more, so somebody has removed it"


@dataclass(frozen=True)
class HostFault:
    """A fault on a host that lasts."""

    id: str
    host: str
    reach: Reach = field(repr=False)
    words: str


class Guards:
    """Makes faults, answers for them while they last, and heals them. Safe for several threads."""

    def __init__(self, owner: str = "", grace: int = GRACE, longest: int = LONGEST, beat: float = BEAT) -> None:
        """`owner` tells this run from any other: a host that another one has put a fault on is left alone."""
        self._owner = owner or f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"
        self._times, self._beat = {"GRACE": str(grace), "LONGEST": str(longest)}, beat
        self._active: dict[str, HostFault] = {}
        self._abandoned: set[str] = set()
        self._expired: dict[str, str] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._keeper: threading.Thread | None = None

    def let_last(self, longest: float) -> None:
        """Let faults that begin from now on last for at least this many seconds before their guard undoes them."""
        self._times["LONGEST"] = str(max(int(self._times["LONGEST"]), round(longest)))

    @property
    def active(self) -> tuple[HostFault, ...]:
        with self._lock:
            return tuple(self._active.values())

    def inject(self, host: str, reach: Reach, verb: str, *arguments: str, **variables: str) -> HostFault:
        """Begin a fault by a verb of the script. Raises HostRefused, and then nothing was done.

        Without an answer (HostUnreached), or after an error there (HostFailed), it may have begun, or not: it is undone
        at once if the host answers that, else by its guard, as nobody answers for it.
        """
        fault = HostFault(secrets.token_hex(4), host, reach, f"{verb} on {host}")
        with self._lock:
            self._active[fault.id] = fault
        try:
            reach.run(verb, fault.id, *arguments, variables={"OWNER": self._owner, **self._times, **variables})
        except BaseException as error:
            self._forget(fault)
            if not isinstance(error, HostRefused) or isinstance(error, HostFailed):
                with suppress(ProcessFailed):
                    reach.run("heal", fault.id, within=_HEALS_WITHIN)
            raise
        self._keep()
        return fault

    def heal(self, fault: HostFault) -> None:
        """Undo it. Harmless if that was done. Raises Inconclusive if its guard or somebody else did so before,
        ProcessFailed if nobody could, or ever can."""
        if fault not in self.active:
            return
        try:
            said = eventually(
                lambda: fault.reach.run("heal", fault.id, within=_HEALS_WITHIN * 2),
                within=_HEALS_WITHIN,
                subject=f"{fault.words} is undone",
                retry_on=(HostUnreached,),
                pause=1.0,
            )
        except AssertionError as error:
            self._abandon(fault)
            raise ProcessFailed(
                f"{error}; its guard on the host undoes it within {GRACE} s, if the host is up"
            ) from error
        failed = [line for line in said.splitlines() if line.startswith("failed")]
        if failed:
            self._abandon(fault)
            raise ProcessFailed(
                f"{fault.words} could not be undone ({failed[0]}): its guard and ./accept heal try again"
            )
        self._forget(fault)
        if f"lost {fault.id}" in said:
            raise ProcessFailed(f"{fault.words} {_LOST}")
        if f"expired {fault.id}" in said or fault.id in self._expired:
            raise Inconclusive(f"{fault.words}: the guard on the host undid it before its time")
        if f"gone {fault.id}" in said:
            raise Inconclusive(f"{fault.words}: the host no longer has any record of it; was it restarted?")
        if f"restarted {fault.id}" in said:
            raise Inconclusive(f"{fault.words}: the host or its container was restarted before it was undone")
        if f"ended {fault.id}" in said:
            raise Inconclusive(f"{fault.words}: somebody else had ended it before it was undone")

    def _forget(self, fault: HostFault) -> None:
        with self._lock:
            self._active.pop(fault.id, None)
            self._abandoned.discard(fault.id)

    def _abandon(self, fault: HostFault) -> None:
        """Answer for it no longer, so that its guard undoes it; it can still be healed."""
        with self._lock:
            self._abandoned.add(fault.id)

    def _keep(self) -> None:
        with self._lock:
            if self._keeper is None or not self._keeper.is_alive():
                self._keeper = threading.Thread(target=self._beat_on, daemon=True, name="accept-guards")
                self._keeper.start()

    def _beat_on(self) -> None:
        """Each host in a thread of its own: one that hangs must not cost the others their beats."""
        while True:
            self._wake.wait(self._beat)
            by_host: dict[str, list[HostFault]] = {}
            with self._lock:
                if not self._active:
                    self._keeper = None
                    return
                for fault in self._active.values():
                    if fault.id not in self._abandoned:
                        by_host.setdefault(fault.reach.words, []).append(fault)
            for faults in by_host.values():
                threading.Thread(target=self._beat_once, args=(faults,), daemon=True).start()

    def _beat_once(self, faults: list[HostFault]) -> None:
        try:
            said = faults[0].reach.run("beat", *(one.id for one in faults), within=2 * self._beat)
        except ProcessFailed:
            return  # the guard will notice, and `heal` tells
        for line in said.splitlines():
            word, _, id = line.partition(" ")
            if word == "expired":
                self._expired[id] = time.strftime("%H:%M:%S")


def heal_left(reach: Reach, told: Callable[[str], object] = lambda line: None) -> bool:
    """Undo every fault that is left on a host, by any run. Returns whether nothing is left.

    Raises HostUnreached without an answer.
    """
    left = reach.run("left").split()
    if not left:
        return True
    said = reach.run("heal", *left, within=_HEALS_WITHIN * (1 + len(left)))
    failed = [line for line in said.splitlines() if line.startswith("failed")]
    failed += [f"{line.partition(' ')[2]} {_LOST}" for line in said.splitlines() if line.startswith("lost")]
    for id in left:
        told(next((line for line in failed if id in line), f"healed {id}"))
    return not failed
