"""Interruptions of clients that really write to a PostgreSQL: a second outage, one that lasts, a client that hangs."""

import threading
import time
from collections.abc import Callable

import pytest

from support import sql
from support.engine.checks.availability import every_client_got_through
from support.engine.history import Outcome
from support.engine.interruption import Interruption, OpenWatch
from support.engine.ledger import APPEND
from support.engine.workload import Script, Task, Turn, Workload
from support.errors import LimitExceeded, NotInTime
from support.waiting import eventually, pause

FOLLOW_UP = 3.0


class Service:
    """Writes succeed unless it is out; one client's may hang."""

    def __init__(self) -> None:
        self.out, self.hanging = threading.Event(), threading.Event()

    def script(self) -> Script:
        def perform(client: int) -> Callable[[sql.Session], object]:
            def write(session: sql.Session) -> None:
                if client == 1 and self.hanging.is_set():
                    sql.execute(session, "SELECT set_config('statement_timeout', '0', false)")
                    sql.execute(session, "SELECT pg_sleep(60)")
                sql.execute(session, "SELECT 1/0" if self.out.is_set() else "SELECT 1")

            return write

        return lambda turn: self._task(turn, perform(turn.client))

    @staticmethod
    def _task(turn: Turn, perform: Callable[[sql.Session], object]) -> Task:
        entry = f"{turn.client}-{turn.number}"
        return Task(APPEND, entry, entry, perform)

    def fail_for(self, seconds: float, after: float) -> None:
        """Begins an outage in the background, some time from now."""

        def outage() -> None:
            pause(after)
            self.out.set()
            pause(seconds)
            self.out.clear()

        threading.Thread(target=outage, daemon=True).start()


def _require_failed(workload: Workload) -> None:
    assert any(one.outcome is Outcome.FAIL for one in workload.history)


def working(postgres: sql.Endpoint, service: Service) -> Workload:
    return Workload(postgres, service.script(), clients=2, pace=0.01, patience=2)


def test_clients_that_are_not_interrupted_are_watched_for_the_whole_time(postgres: sql.Endpoint) -> None:
    with working(postgres, Service()) as workload:
        pause(0.2)
        begun = time.monotonic()
        interruption = Interruption(workload, begun, limit=2)
        interruption.await_service()
        interruption.await_second_outage(begun, FOLLOW_UP)
        assert FOLLOW_UP <= time.monotonic() - begun < FOLLOW_UP + 1.5
        assert interruption.judged(time.monotonic()).holds is True


def test_a_second_outage_that_is_longer_than_allowed_is_found(postgres: sql.Endpoint) -> None:
    """The first is over soon enough. The second begins when ten writes were long acknowledged, and lasts."""
    service = Service()
    with working(postgres, service) as workload:
        pause(0.2)
        begun = time.monotonic()
        interruption = Interruption(workload, begun, limit=2)
        service.fail_for(1.2, after=0)
        eventually(lambda: _require_failed(workload), within=5, subject="a write failed", pause=0.02)
        interruption.await_service()
        assert interruption.judged(time.monotonic()).holds is True
        service.fail_for(60, after=1.5)
        interruption.await_second_outage(begun, FOLLOW_UP)
        finding = interruption.judged(time.monotonic())
        service.out.set()
    assert finding.holds is False
    assert "and had not recovered" in finding.words


def test_a_longer_outage_within_the_limit_is_followed_up_as_well(postgres: sql.Endpoint) -> None:
    service = Service()
    with working(postgres, service) as workload:
        pause(0.2)
        begun = time.monotonic()
        interruption = Interruption(workload, begun, limit=10)
        service.fail_for(1.5, after=2)
        interruption.await_second_outage(begun, FOLLOW_UP)
        assert time.monotonic() - begun > 3.5 + FOLLOW_UP - 0.5


def test_a_client_that_hangs_is_in_flight_and_never_got_through(postgres: sql.Endpoint) -> None:
    service = Service()
    with working(postgres, service) as workload:
        pause(0.2)
        service.hanging.set()
        pause(0.5)
        since = time.monotonic()
        assert [one.client for one in workload.in_flight if one.begun < since - 0.2] == [1]
        with pytest.raises(NotInTime, match="1 client had none"):
            workload.await_each_acknowledged(within=1)
        with pytest.raises(NotInTime, match="1 have not"):
            workload.await_none_begun_before(since, within=0.2)
        finding = every_client_got_through(workload.history, APPEND, workload.size, since, time.monotonic())
        assert finding.holds is False
        assert "client 1" in finding.words
        workload.await_none_begun_before(since, within=workload.gives_up_after + 1)  # the client hangs up
        late = [one for one in workload.history if one.client == 1 and one.outcome is not Outcome.OK]
        assert [one.outcome for one in late] == [Outcome.UNKNOWN]


def test_everything_that_was_begun_is_in_the_history_or_in_flight(postgres: sql.Endpoint) -> None:
    with working(postgres, Service()) as workload:
        workload.await_each_acknowledged(within=5)
        now = time.monotonic()
        workload.await_none_begun_before(now, within=5)
        assert workload.silent_for < 1
    assert workload.in_flight == []
    assert workload.stopped_at < time.monotonic()
    assert len(workload.history) == workload.acknowledged


def test_a_cluster_that_has_settled_is_watched_no_longer(postgres: sql.Endpoint) -> None:
    with working(postgres, Service()) as workload:
        pause(0.2)
        begun = time.monotonic()
        asked: list[float] = []

        def settled(back: float) -> bool:
            asked.append(back)
            return time.monotonic() - begun > 1

        interruption = Interruption(workload, begun, limit=2)
        assert interruption.await_second_outage(begun, 30, settled) == begun
        assert 1 <= time.monotonic() - begun < 5
        assert set(asked) == {begun}


def test_clients_that_are_silent_are_watched_however_settled_the_cluster_is(postgres: sql.Endpoint) -> None:
    service = Service()
    with working(postgres, service) as workload:
        pause(0.2)
        begun = time.monotonic()
        interruption = Interruption(workload, begun, limit=2)
        service.out.set()
        pause(0.5)
        assert interruption.await_second_outage(begun, FOLLOW_UP, lambda back: True) is None
        assert interruption.judged(time.monotonic()).holds is False
        service.out.clear()


def test_a_second_outage_after_the_cluster_has_settled_is_found(postgres: sql.Endpoint) -> None:
    """It begins while the rest of the scenario goes on, and lasts longer than allowed."""
    service = Service()
    with working(postgres, service) as workload:
        pause(0.2)
        begun = time.monotonic()
        interruption = Interruption(workload, begun, limit=2)
        back = interruption.await_second_outage(begun, 30, lambda back: True)
        assert back == begun
        workload.await_acknowledged(10, within=2)
        assert interruption.judged(time.monotonic()).holds is True
        service.fail_for(60, after=FOLLOW_UP - 1)
        watch = OpenWatch(interruption, back, FOLLOW_UP)
        with pytest.raises(LimitExceeded, match="and had not recovered"):
            watch.close()
        service.out.clear()
    watch.close()  # nothing is left to watch


def test_an_open_watch_lasts_as_long_as_a_second_outage_may_follow(postgres: sql.Endpoint) -> None:
    with working(postgres, Service()) as workload:
        pause(0.2)
        begun = time.monotonic()
        OpenWatch(Interruption(workload, begun, limit=2), begun, FOLLOW_UP).close()
        assert time.monotonic() - begun >= FOLLOW_UP
