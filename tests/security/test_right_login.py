"""Refusals prove nothing unless the right login is accepted: what is said where it is not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import free_port
from http_servers import Handler, serving_with

from support.errors import Inconclusive
from support.security.checks import all_refused
from support.security.unauthenticated import patroni_requests, require_patroni_accepts_login
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, Topology


@contextmanager
def refusing() -> Iterator[Address]:
    """A REST API that takes every login for wrong."""

    class Own(Handler):
        def do_PATCH(self) -> None:
            self.answer(401)

    with serving_with(Own) as address:
        yield address


def test_each_member_and_the_settings_are_named() -> None:
    with refusing() as there:
        rests = {"m1": there, "m2": Address("127.0.0.1", free_port())}
        topology = Topology(
            database="app",
            application=Login("app", ""),
            write=Address("127.0.0.1", 1),
            members=tuple(MemberAddress(name, Address("127.0.0.1", 1), rest) for name, rest in rests.items()),
            patroni_login=Login("ops", "wrong"),
        )
        with pytest.raises(Inconclusive) as told:
            require_patroni_accepts_login(Cluster(topology))
    assert str(told.value) == (
        "inconclusive: Patroni does not accept the right login: m1: 401; m2: no answer "
        "([Errno 111] Connection refused); check PATRONI_RESTAPI_USERNAME and PATRONI_RESTAPI_PASSWORD"
    )


@contextmanager
def cancelling(scheduled: bool, cancelled: list[str]) -> Iterator[Address]:
    """A REST API that cancels a switchover for anybody; /cluster shows whether one is scheduled."""

    class Own(Handler):
        def do_GET(self) -> None:
            told = {"members": [], **({"scheduled_switchover": {"at": "2030-01-01"}} if scheduled else {})}
            self.answer(200, json.dumps(told).encode())

        def do_DELETE(self) -> None:
            cancelled.append(self.path)
            self.answer(200 if scheduled else 404)

    with serving_with(Own) as address:
        yield address


@pytest.mark.parametrize("scheduled", [True, False])
def test_a_switchover_that_somebody_scheduled_is_not_cancelled(scheduled: bool) -> None:
    cancelled: list[str] = []
    with cancelling(scheduled, cancelled) as there:
        topology = Topology(
            database="app",
            application=Login("app", ""),
            write=Address("127.0.0.1", 1),
            members=(MemberAddress("m1", Address("127.0.0.1", 1), there),),
            patroni_login=Login("ops", "right"),
        )
        answers = patroni_requests(Cluster(topology), "no login", ["cancel a switchover"])
    finding = all_refused(answers)
    assert cancelled == ([] if scheduled else ["/switchover"])
    assert finding.holds is (None if scheduled else False)
    assert ("it would cancel a scheduled switchover" in finding.words) is scheduled
