"""The application's pool, and a host that never answers."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from bounds import takes_less_than

from support import sql
from support.cluster.black_hole import BlackHoleServer
from support.errors import ConnectFailed, Inconclusive, NotTried
from support.example_app.sessions import (
    SessionPool,
    attempt,
    backend,
    backends,
    kill_backend,
    open_as_many,
    open_side_by_side,
)


def test_a_session_is_used_again(postgres: sql.Endpoint) -> None:
    with SessionPool(postgres) as pool:
        assert pool.use(backend) == pool.use(backend)


def test_a_killed_session_is_replaced_without_an_error(postgres: sql.Endpoint) -> None:
    with SessionPool(postgres) as pool:
        killed = pool.use(backend)
        kill_backend(postgres, killed)
        assert pool.use(backend) != killed


def test_every_killed_session_is_replaced(postgres: sql.Endpoint) -> None:
    with SessionPool(postgres, size=3) as pool:
        with pool.session() as one, pool.session() as two, pool.session() as three:
            killed = backends([one, two, three])
        for pid in killed:
            kill_backend(postgres, pid)
        assert len(killed) == 3
        assert pool.use(backend) not in killed


def test_a_session_in_a_transaction_is_not_lent_again(postgres: sql.Endpoint) -> None:
    with SessionPool(postgres) as pool:
        with pool.session() as left_open:
            left_open.autocommit = False
            first = backend(left_open)
        assert pool.use(backend) != first


def test_what_a_borrower_changed_is_undone(postgres: sql.Endpoint) -> None:
    with SessionPool(postgres) as pool:
        with pool.session() as lent:
            lent.autocommit = False
        with pool.session() as lent:
            assert lent.autocommit is True


def test_no_more_than_its_size_are_lent(postgres: sql.Endpoint) -> None:
    most, now, lock, two = 0, 0, threading.Lock(), threading.Barrier(2)

    def borrow(pool: SessionPool) -> None:
        nonlocal most, now
        with pool.session() as session:
            with lock:
                now += 1
                most = max(most, now)
            two.wait(60)  # so that two overlap however slow logins are
            sql.execute(session, "SELECT pg_sleep(0.05)")
            with lock:
                now -= 1

    with SessionPool(postgres, size=2) as pool:
        threads = [threading.Thread(target=borrow, args=[pool]) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == 2


def test_closing_closes_what_lies_idle(postgres: sql.Endpoint) -> None:
    pool = SessionPool(postgres)
    with pool.session() as session:
        pass
    pool.close()
    assert session.closed


def test_sessions_side_by_side_have_backends_of_their_own(postgres: sql.Endpoint) -> None:
    opened: list[sql.Session] = []
    open_side_by_side(postgres, 5, opened)
    assert len(backends(opened)) == 5
    opened.pop().close()
    kill_backend(postgres, backend(opened[0]))
    assert len(backends(opened)) == 3
    for session in opened:
        session.close()


def test_a_backend_that_is_not_there_cannot_be_killed(postgres: sql.Endpoint) -> None:
    with pytest.raises(Inconclusive, match="could not be killed"):
        kill_backend(postgres, 1)


def test_a_login_at_a_silent_host_ends_with_its_limit() -> None:
    with BlackHoleServer(patience=10) as host:
        with takes_less_than(4):
            login = attempt(lambda: sql.connect(host.endpoint, connect_timeout=2))
        host.require_caller()
    assert isinstance(login.error, ConnectFailed)
    assert host.name in str(login.error)
    assert login.seconds > 1


def test_a_silent_host_hangs_up_on_who_waits_for_ever() -> None:
    with BlackHoleServer(patience=0.5) as host:
        begun = time.monotonic()
        with takes_less_than(5):
            login = attempt(lambda: sql.connect(host.endpoint, connect_timeout=30))
    assert isinstance(login.error, ConnectFailed)
    assert time.monotonic() - begun > 0.4


def test_a_silent_host_that_nobody_called_proves_nothing() -> None:
    with BlackHoleServer(patience=1) as host, pytest.raises(Inconclusive, match="never accepted"):
        host.require_caller()


@pytest.fixture
def limited(postgres: sql.Endpoint) -> Iterator[sql.Endpoint]:
    """A role that may have six sessions."""
    sql.execute(postgres, "CREATE ROLE limited LOGIN PASSWORD 'x' CONNECTION LIMIT 6")
    yield postgres.as_user("limited", "x")
    sql.execute(postgres, "DROP ROLE limited")


def test_as_many_are_open_as_there_is_room_for(limited: sql.Endpoint) -> None:
    opened: list[sql.Session] = []
    try:
        assert "too many connections for role" in open_as_many(limited, 10, opened)
        assert len(backends(opened)) == len(opened) == 6
    finally:
        for one in opened:
            one.close()


def test_a_lack_of_room_on_this_machine_is_none_of_the_server(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where this process may open no more files: a session that is closed makes room for one."""
    connect, turns = sql.connect, count(1)

    def in_turn(endpoint: sql.Endpoint, **further: Any) -> sql.Session:
        if next(turns) in (4, 6):
            raise NotTried("Too many open files")
        return connect(endpoint, **further)

    monkeypatch.setattr(sql, "connect", in_turn)
    opened: list[sql.Session] = []
    try:
        with pytest.raises(NotTried):
            open_as_many(postgres, 10, opened)
    finally:
        for one in opened:
            one.close()


def test_a_refusal_for_another_reason_is_no_lack_of_room(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy that leads every fourth session to a server that is down."""
    connect, turns = sql.connect, count(1)
    down = replace(postgres, port=1)

    def in_turn(endpoint: sql.Endpoint, **further: Any) -> sql.Session:
        return connect(down if next(turns) % 4 == 0 else endpoint, **further)

    monkeypatch.setattr(sql, "connect", in_turn)
    opened: list[sql.Session] = []
    try:
        with pytest.raises(ConnectFailed, match="refused"):
            open_as_many(postgres, 10, opened)
    finally:
        for one in opened:
            one.close()
