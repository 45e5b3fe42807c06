"""Refusals prove nothing unless the right login is accepted: what is said where it is not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import free_port

from support.errors import Inconclusive
from support.security.unauthenticated import require_patroni_accepts_login
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, Topology


@contextmanager
def refusing() -> Iterator[Address]:
    """A REST API that takes every login for wrong."""

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Address("127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        server.server_close()


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
