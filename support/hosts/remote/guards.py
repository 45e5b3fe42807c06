"""Injuries: faults on users' hosts that last, and that end by themselves when nobody answers for them any more."""

import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from support.errors import Inconclusive, ProcessFailed
from support.hosts.remote.reach import HostRefused, HostUnreached, Reach
from support.waiting import eventually

GRACE = 20
"""Seconds without a beat after which the guard on the host undoes an injury."""
LONGEST = 300
"""Seconds after which it does in any case."""
BEAT = 5.0
_HEALS_WITHIN = 30.0


@dataclass(frozen=True)
class Injury:
    """A fault on a host that lasts."""

    id: str
    host: str
    reach: Reach = field(repr=False)
    words: str


class Guards:
    """Makes injuries, answers for them while they last, and heals them. Safe for several threads."""

    def __init__(self, owner: str = "", grace: int = GRACE, longest: int = LONGEST, beat: float = BEAT) -> None:
        """`owner` tells this run from any other: a host that another one has injured is left alone."""
        self._owner = owner or f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"
        self._times, self._beat = {"GRACE": str(grace), "LONGEST": str(longest)}, beat
        self._active: dict[str, Injury] = {}
        self._expired: dict[str, str] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._keeper: threading.Thread | None = None

    @property
    def active(self) -> tuple[Injury, ...]:
        with self._lock:
            return tuple(self._active.values())

    def injure(self, host: str, reach: Reach, verb: str, *arguments: str, **variables: str) -> Injury:
        """Begin an injury by a verb of the script. Raises HostRefused, and then nothing was done.

        Without an answer (HostUnreached) it may have begun, or not: it is healed like any other.
        """
        injury = Injury(secrets.token_hex(4), host, reach, f"{verb} on {host}")
        with self._lock:
            self._active[injury.id] = injury
        try:
            reach.run(verb, injury.id, *arguments, variables={"OWNER": self._owner, **self._times, **variables})
        except HostRefused:
            self._forget(injury)
            raise
        self._keep()
        return injury

    def heal(self, injury: Injury) -> None:
        """Undo it. Harmless if that was done. Raises Inconclusive if its guard did so before, ProcessFailed if nobody
        could."""
        if injury not in self.active:
            return
        try:
            said = eventually(
                lambda: injury.reach.run("heal", injury.id, within=_HEALS_WITHIN * 2),
                within=_HEALS_WITHIN,
                subject=f"{injury.words} is undone",
                retry_on=(HostUnreached,),
                pause=1.0,
            )
        except AssertionError as error:
            raise ProcessFailed(
                f"{error}; its guard on the host undoes it within {GRACE} s, if the host is up"
            ) from error
        failed = [line for line in said.splitlines() if line.startswith("failed")]
        if failed:
            raise ProcessFailed(f"{injury.words} could not be undone ({failed[0]}): ./accept heal tries again")
        self._forget(injury)
        if f"expired {injury.id}" in said or injury.id in self._expired:
            raise Inconclusive(f"{injury.words}: the guard on the host undid it before its time")
        if f"gone {injury.id}" in said:
            raise Inconclusive(f"{injury.words}: the host knows nothing of it any more; was it restarted?")

    def _forget(self, injury: Injury) -> None:
        with self._lock:
            self._active.pop(injury.id, None)

    def _keep(self) -> None:
        with self._lock:
            if self._keeper is None or not self._keeper.is_alive():
                self._keeper = threading.Thread(target=self._beat_on, daemon=True, name="accept-guards")
                self._keeper.start()

    def _beat_on(self) -> None:
        """Each host in a thread of its own: one that hangs must not cost the others their beats."""
        while True:
            self._wake.wait(self._beat)
            by_host: dict[str, list[Injury]] = {}
            with self._lock:
                if not self._active:
                    self._keeper = None
                    return
                for injury in self._active.values():
                    by_host.setdefault(injury.reach.words, []).append(injury)
            for injuries in by_host.values():
                threading.Thread(target=self._beat_once, args=(injuries,), daemon=True).start()

    def _beat_once(self, injuries: list[Injury]) -> None:
        try:
            said = injuries[0].reach.run("beat", *(one.id for one in injuries), within=2 * self._beat)
        except ProcessFailed:
            return  # the guard will notice, and `heal` tells
        for line in said.splitlines():
            word, _, id = line.partition(" ")
            if word == "expired":
                self._expired[id] = time.strftime("%H:%M:%S")


def heal_left(reach: Reach, told: Callable[[str], object] = lambda line: None) -> bool:
    """Undo every injury that is left on a host, whoever made it. Returns whether nothing is left.

    Raises HostUnreached without an answer.
    """
    left = reach.run("left").split()
    if not left:
        return True
    said = reach.run("heal", *left, within=_HEALS_WITHIN * (1 + len(left)))
    failed = [line for line in said.splitlines() if line.startswith("failed")]
    for id in left:
        told(next((line for line in failed if id in line), f"healed {id}"))
    return not failed
