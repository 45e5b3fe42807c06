"""Patroni's words about the cluster, as a member says them while others are set up or gone."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from support.target.patroni import PatroniApi
from support.target.topology import Address
from support.waiting import NotYet

LEADER = {"name": "pg1", "role": "leader", "state": "running", "host": "10.0.0.1", "port": 5432, "timeline": 3}
NEWCOMER = {"name": "pg2", "role": "replica", "state": "creating replica", "host": None, "port": None, "lag": "unknown"}


@contextmanager
def saying(answer: object, status: int = 200) -> Iterator[PatroniApi]:
    """Something that answers every question with the same JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Nothing to standard error."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield PatroniApi(Address("127.0.0.1", server.server_port))
    finally:
        server.shutdown()
        server.server_close()


def test_a_member_without_an_address_yet() -> None:
    with saying({"members": [LEADER, NEWCOMER], "scope": "accept", "pause": True}) as patroni:
        view = patroni.cluster()
    assert view.leader is not None
    assert (view.leader.name, view.leader.timeline, view.paused) == ("pg1", 3, True)
    (newcomer,) = view.replicas
    assert (newcomer.host, newcomer.port, newcomer.lag) == ("", 0, None)


def test_an_answer_that_is_no_view_yet() -> None:
    with saying({}, status=502) as patroni, pytest.raises(NotYet, match="answered 502"):
        patroni.cluster()
