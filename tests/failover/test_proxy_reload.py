"""A reload of HAProxy: sessions from before stay in the old process, and are closed when their server falls silent."""

import socket
import sys
import time
from pathlib import Path

import pytest
from sandboxes import in_a_sandbox

from support.failover.proxy_reload import haproxy_workers
from support.failover.routing import ClosingWatch
from support.hosts import Host, Sandbox
from support.target.discovery.user_hosts import why_no_reload
from support.waiting import NotYet, eventually

TEMPLATE = Path(__file__).parents[2] / "support" / "embedded" / "templates" / "haproxy.cfg.j2"
PORT = 5000
GREETS = f"""
import socket
with socket.create_server(("", {PORT})) as server:
    held = []
    while True:
        held.append(server.accept()[0])
        held[-1].sendall(b"hello")
"""
KEEPALIVE = ("srvtcpka-idle", "srvtcpka-intvl", "srvtcpka-cnt")


def configuration(proxy: Host, server: Host, keepalive: bool) -> str:
    """The defaults of the embedded cluster's proxy, with one server that is not checked, as in a process of before."""
    defaults = TEMPLATE.read_text().partition("\ndefaults\n")[2].partition("\nlisten ")[0].splitlines()
    kept = [line for line in defaults if "default-server" not in line]
    if not keepalive:
        kept = [line for line in kept if not line.strip().startswith(KEEPALIVE)]
    listen = f"listen write\n    bind {proxy.address}:{PORT}\n    server only {server.address}:{PORT}\n"
    return "\n".join(["global\n    maxconn 100\ndefaults", *kept, listen])


def started(sandbox: Sandbox, *, keepalive: bool, master: bool = True) -> tuple[Host, Host]:
    """The hosts of the proxy and of the server."""
    server, proxy = sandbox.add_host("server", 10), sandbox.add_host("haproxy", 11)
    server.add("greeter", [sys.executable, "-S", "-c", GREETS]).start()
    file = proxy.directory / "haproxy.cfg"
    file.write_text(configuration(proxy, server, keepalive))
    proxy.add("haproxy", ["haproxy", *(["-W"] if master else []), "-db", "-f", str(file)]).start()
    return proxy, server


def session(proxy: Host) -> socket.socket:
    """A session through the proxy that its server has greeted."""

    def greeted() -> socket.socket:
        line = socket.create_connection((proxy.address, PORT), timeout=2)
        if line.recv(5) != b"hello":
            line.close()
            raise NotYet("no greeting")
        return line

    return eventually(greeted, within=10, subject="the server greets", retry_on=(OSError,))


@pytest.mark.parametrize("keepalive", [True, False])
def test_a_session_of_before_is_closed_when_its_server_falls_silent(keepalive: bool, tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        proxy, server = started(sandbox, keepalive=keepalive)
        with session(proxy) as older:
            before = haproxy_workers(proxy)
            assert why_no_reload(proxy.running()) == ""

            def reloaded() -> None:
                proxy.processes["haproxy"].reload()  # again: a master process that has just started may ignore it
                if {one.identity for one in haproxy_workers(proxy)} <= {one.identity for one in before}:
                    raise NotYet("there is no new process")

            eventually(reloaded, within=10, subject="the proxy is reloaded", pause=1)
            session(proxy).close()
            assert [one.identity for one in proxy.alive(before)] == [one.identity for one in before]
            with ClosingWatch([older]) as watch:  # type: ignore[list-item]  # it has a file number, too
                server.power_off()
                begun = time.monotonic()
                ended = watch.closings(until=begun + 10)
            assert len(ended) == (1 if keepalive else 0)
            assert all(when - begun < 8 for when in ended)

    assert in_a_sandbox("namespaces", tmp_path, act) == 0


def test_without_a_master_process_nobody_can_be_told_to_reload(tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        proxy, _ = started(sandbox, keepalive=True, master=False)
        session(proxy).close()
        assert haproxy_workers(proxy) == []
        assert "haproxy -W" in why_no_reload(proxy.running())

    assert in_a_sandbox("namespaces", tmp_path, act) == 0
