"""Patroni's REST API in a few lines: what it says of real PostgreSQLs, under names and addresses of a test's choice."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support import sql

_WHO = "SELECT pg_postmaster_start_time()::text, (SELECT system_identifier::text FROM pg_control_system())"


@dataclass
class Member:
    """One member. `own` is what it calls itself, host:port; `beside` is its PostgreSQL, None while that is down."""

    name: str
    role: str
    own: str
    api: str
    beside: sql.Endpoint | None
    scope: str = "test"
    tells_name: bool = True
    version: str = "4.0.0"
    extra: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    state: str = ""
    """What the others know of it, if that is not what the role says."""
    configuration: dict[str, Any] = field(default_factory=dict)
    """The dynamic configuration, as this member knows it."""
    denied: str = ""
    """What it says to commands, which it refuses; empty if it accepts them."""
    replies: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Path of a command -> its answer to that."""
    paused: bool = False
    """Whether it says that Patroni is in maintenance mode."""

    def listed(self) -> dict[str, Any]:
        """As /cluster has it."""
        host, _, port = self.own.partition(":")
        old = self.version.startswith(("1.", "2.", "3.0.0", "3.0.1", "3.0.2", "3.0.3"))
        state = self.state or ("running" if "leader" in self.role or old else "streaming")
        shown = {"name": self.name, "role": self.role, "state": state, "host": host, "port": int(port), "timeline": 1}
        return {**shown, "api_url": f"http://{self.api}/patroni", **({"tags": self.tags} if self.tags else {})}

    def status(self) -> dict[str, Any]:
        """As /patroni has it."""
        about = {"version": self.version, "scope": self.scope} | ({"name": self.name} if self.tells_name else {})
        said: dict[str, Any] = {"state": "stopped", "role": self.role, "patroni": about, **self.extra}
        if self.beside:
            started, system = sql.rows(self.beside, _WHO)[0]
            said |= {"state": "running", "postmaster_start_time": started, "database_system_identifier": system}
        return said


@contextmanager
def patroni(member: Member, cluster: list[Member], secure: ssl.SSLContext | None = None) -> Iterator[int]:
    """The REST API of one member of a cluster, on a port of 127.0.0.1 until the end; with `secure`, by https."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            leads = member.role == "leader"
            checks: Mapping[str, bool] = {"/primary": leads, "/leader": leads, "/replica": not leads, "/health": True}
            if self.path == "/patroni":
                self._say(200, member.status())
            elif self.path == "/cluster":
                pause = {"pause": True} if member.paused else {}
                self._say(200, {"members": [one.listed() for one in cluster], "scope": member.scope, **pause})
            elif self.path == "/config":
                self._say(200, member.configuration)
            else:
                self._say(200 if checks.get(self.path) else 503, {})

        def do_PATCH(self) -> None:
            changes = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if member.denied:
                self._say(403, member.denied)
            elif not changes:
                self._say(400, {})
            else:
                member.configuration = {**member.configuration, **changes}
                self._say(200, member.configuration)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, words = member.replies[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(words.encode())

        def _say(self, status: int, answer: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Nothing to standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if secure:
        server.socket = secure.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
