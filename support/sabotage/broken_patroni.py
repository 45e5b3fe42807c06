"""Patroni with one defect: `python -P broken_patroni.py DEFECT FILE`. It runs on the hosts, as a program of its own."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import patroni.postgresql  # noqa: F401  # before patroni.ha: the two import each other
from patroni import global_config
from patroni.__main__ import main
from patroni.api import RestApiHandler
from patroni.dcs import AbstractDCS
from patroni.exceptions import DCSError
from patroni.ha import Ha
from patroni.postgresql import Postgresql
from patroni.postgresql.bootstrap import Bootstrap
from patroni.postgresql.slots import SlotsHandler
from patroni.tags import Tags


def never_demotes() -> None:
    """A leader that has lost its lease keeps leading."""
    Ha.demote = lambda self, mode: None


def ignores_the_dcs() -> None:
    """A leader that cannot reach the DCS keeps leading."""
    Ha._handle_dcs_error = lambda self: "the DCS is out of reach, which is ignored"


def ignores_nofailover() -> None:
    """The tag nofailover has no effect."""
    Tags.nofailover = property(lambda self: False)


def the_worst_wins() -> None:
    """A member that has received less WAL than another may lead; the one that has received most may not."""
    usual = Ha._is_healthiest_node
    Ha._is_healthiest_node = lambda self, *given, **named: not usual(self, *given, **named)


def keeps_its_standby() -> None:
    """The synchronous standby is never replaced."""
    Ha.process_sync_replication = lambda self: None


def ignores_who_is_synchronous() -> None:
    """Any replica may take over, whether commits waited for it or not."""
    Ha.sync_mode_is_active = lambda self: False
    type(global_config).is_quorum_commit_mode = property(lambda self: False)


def is_never_strict() -> None:
    """In strict synchronous mode commits wait for no standby either, once there is none."""
    type(global_config).is_synchronous_mode_strict = property(lambda self: False)


def asks_nobody_before_a_switchover() -> None:
    """A switchover is begun, and reported as done, without a look at who could take over."""
    RestApiHandler.is_failover_possible = lambda self, *given: None
    RestApiHandler.poll_failover_result = lambda self, *given: (200, "Successfully switched over")


def keeps_what_was_requested() -> None:
    """The request for a switchover stays in the DCS after it was carried out."""
    usual = AbstractDCS.manual_failover

    def keep(self: AbstractDCS, leader: str | None, candidate: str | None, *given: Any, **named: Any) -> bool:
        return bool(usual(self, leader, candidate, *given, **named)) if leader or candidate else True

    AbstractDCS.manual_failover = keep


def starts_nothing_after_a_crash() -> None:
    """A PostgreSQL that has led, and has crashed, stays down."""
    usual = Ha.recover

    def recover(self: Ha) -> str:
        state = self.state_handler.controldata().get("Database cluster state")
        return "left to the administrator" if state in ("in production", "in crash recovery") else str(usual(self))

    Ha.recover = recover


def copies_nothing() -> None:
    """A member without data is not built from another one; one that is asked to reinitialize has none afterwards."""

    def clone(self: Bootstrap, *given: Any, **named: Any) -> bool:
        self._postgresql.remove_data_directory()
        return False

    Bootstrap.clone = clone


def copies_no_logical_slot() -> None:
    """Replicas do not get the leader's logical slots, so a new leader creates them from scratch."""
    usual = SlotsHandler.sync_replication_slots

    def sync(self: SlotsHandler, *given: Any, **named: Any) -> list[str]:
        usual(self, *given, **named)
        return []  # the slots to be copied

    SlotsHandler.sync_replication_slots = sync


def waits_for_the_end_of_postgresql() -> None:
    """A leader that hands over keeps its lock until its PostgreSQL is down, however long that takes."""
    usual = Postgresql.stop

    def stop(self: Postgresql, *given: Any, **named: Any) -> bool:
        return bool(usual(self, *given, **{**named, "on_shutdown": None, "stop_timeout": None}))

    Postgresql.stop = stop


def renews_its_lock_whatever_happens() -> None:
    """A leader renews its lock even while its PostgreSQL gives no answer."""
    usual = Ha.run_cycle
    begun: list[Ha] = []

    def renew(ha: Ha) -> None:
        while True:
            threading.Event().wait(1)
            with suppress(DCSError):
                if ha.is_leader():
                    ha.update_lock()

    def run_cycle(self: Ha) -> str:
        if not begun:
            begun.append(self)
            threading.Thread(target=renew, args=[self], daemon=True).start()
        return str(usual(self))

    Ha.run_cycle = run_cycle


def trusts_its_clock() -> None:
    """A leader hands over when its clock says that it renewed its lock longer ago than the lock lasts, or never."""
    usual = Ha.run_cycle
    last: list[float] = []

    def run_cycle(self: Ha) -> str:
        now = time.time()
        lost = bool(last) and not 0 <= now - last[-1] < self.dcs.ttl
        last[:] = [now]
        if lost and self.has_lock(False):
            return str(self._async_executor.try_run_async("demoting", self.demote, ("graceful",)))
        return str(usual(self))

    Ha.run_cycle = run_cycle


def hands_over_when_its_clock_jumps_back() -> None:
    """A leader whose clock jumps back hands over at once, although its lock is good for as long as usual."""
    usual = Ha.run_cycle
    begun: list[Ha] = []

    def watch(ha: Ha) -> None:
        ahead = time.time() - time.monotonic()
        while True:
            threading.Event().wait(0.2)
            before, ahead = ahead, time.time() - time.monotonic()
            if ahead < before - 60 and ha.has_lock(False):
                ha._async_executor.try_run_async("demoting", ha.demote, ("graceful",))

    def run_cycle(self: Ha) -> str:
        if not begun:
            begun.append(self)
            threading.Thread(target=watch, args=[self], daemon=True).start()
        return str(usual(self))

    Ha.run_cycle = run_cycle


DAWDLES = 10.0
"""Seconds, twice as many as a thawed leader has to learn that it was replaced."""


def dawdles_after_a_freeze() -> None:
    """A member that was frozen waits for seconds before it asks the DCS who leads."""
    usual = Ha.run_cycle
    last = [time.monotonic()]

    def run_cycle(self: Ha) -> str:
        if time.monotonic() - last[0] > self.dcs.ttl / 2:
            threading.Event().wait(DAWDLES)
        last[0] = time.monotonic()
        return str(usual(self))

    Ha.run_cycle = run_cycle


POSTPONES = 8.0
"""Seconds between the moment in which a member takes the leader key and its promotion."""


def postpones_its_promotion() -> None:
    """A member that has taken the leader key remains a replica for seconds, as if another loop had to come first."""
    promote = Postgresql.promote

    def late(self: Postgresql, *given: Any, **named: Any) -> Any:
        threading.Event().wait(POSTPONES)
        return promote(self, *given, **named)

    Postgresql.promote = late


CLINGS = 30.0
"""Seconds for which a leader that was replaced is still reported as the primary."""


def clings_to_its_role() -> None:
    """The health check of a former leader goes on to call it the primary for seconds."""
    with_body, code_only = RestApiHandler._write_status_response, RestApiHandler._write_status_code_only
    last: list[float] = []

    def told(self: RestApiHandler, status: int) -> int:
        if "primary" not in self.path:
            return status
        if status == 200:
            last[:] = [time.monotonic()]
        return 200 if last and time.monotonic() - last[0] < CLINGS else status

    RestApiHandler._write_status_response = lambda self, status, *given: with_body(self, told(self, status), *given)
    RestApiHandler._write_status_code_only = lambda self, status: code_only(self, told(self, status))


FALTERS = (8.0, 50.0)
"""Seconds after a promotion between which a leader has no PostgreSQL: longer than a failover may take."""


def falters_after_taking_over() -> None:
    """A leader that has taken over serves for seconds, then stops its PostgreSQL for a while, but keeps its lock."""
    promote, run_cycle = Postgresql.promote, Ha._run_cycle
    promoted: list[float] = []

    def promotes(self: Postgresql, *given: Any, **named: Any) -> Any:
        promoted.append(time.monotonic())
        return promote(self, *given, **named)

    def falters(self: Ha) -> str:
        if not promoted or not FALTERS[0] < time.monotonic() - promoted[-1] < FALTERS[1]:
            return str(run_cycle(self))
        self.load_cluster_from_dcs()
        if self.state_handler.is_running():
            self.state_handler.stop("fast")
        self.update_lock()
        return "it keeps its lock, and its PostgreSQL is stopped"

    Postgresql.promote, Ha._run_cycle = promotes, falters


DEFECTS: Mapping[str, Callable[[], Any]] = {
    defect.__name__: defect
    for defect in (
        never_demotes,
        ignores_the_dcs,
        ignores_nofailover,
        the_worst_wins,
        keeps_its_standby,
        ignores_who_is_synchronous,
        is_never_strict,
        asks_nobody_before_a_switchover,
        keeps_what_was_requested,
        starts_nothing_after_a_crash,
        copies_nothing,
        copies_no_logical_slot,
        waits_for_the_end_of_postgresql,
        renews_its_lock_whatever_happens,
        trusts_its_clock,
        hands_over_when_its_clock_jumps_back,
        dawdles_after_a_freeze,
        postpones_its_promotion,
        clings_to_its_role,
        falters_after_taking_over,
    )
}

if __name__ == "__main__":
    DEFECTS[sys.argv.pop(1)]()
    sys.exit(main())
