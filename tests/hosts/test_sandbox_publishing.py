"""Publishing: connections to 127.0.0.1 are forwarded to a host of the sandbox."""

import os
import socket
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from echoing import echo
from sandboxes import living_sandbox

from support.errors import UsageError
from support.hosts import relay

PORT, OTHER_PORT = 7000, 7001


@pytest.mark.parametrize("kind", ["namespaces", "loopback"])
class TestPublished:
    """Connections through a published port."""

    @pytest.fixture
    def address(self, kind: str, tmp_path: Path) -> Iterator[tuple[str, int]]:
        with living_sandbox(kind, tmp_path / "sandbox", publish=("echo", "nothing")) as sandbox:
            host = sandbox.add_host("one", 11)
            echo(host, PORT)
            sandbox.publish({"echo": (host.address, PORT), "nothing": (host.address, 9)})
            yield sandbox.published["echo"]

    def test_all_bytes_and_the_end_are_passed_on(self, address: tuple[str, int]) -> None:
        sent = os.urandom(5_000_000)
        with socket.create_connection(address, timeout=10) as peer:
            threading.Thread(target=lambda: (peer.sendall(sent), peer.shutdown(socket.SHUT_WR))).start()
            received = b"".join(iter(lambda: peer.recv(1 << 16), b""))
        assert received == sent

    def test_many_are_served_at_once(self, address: tuple[str, int]) -> None:
        peers = [socket.create_connection(address, timeout=10) for _ in range(300)]
        for number, peer in enumerate(peers):
            peer.sendall(b"%d" % number)
        assert [int(peer.recv(10)) for peer in peers] == list(range(300))
        for peer in peers:
            peer.close()

    @pytest.mark.alone
    def test_forwarding_adds_little_time(self, address: tuple[str, int]) -> None:
        with socket.create_connection(address, timeout=10) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            took = []
            for _ in range(500):
                begun = time.perf_counter()
                peer.sendall(b"x")
                peer.recv(1)
                took.append(time.perf_counter() - begun)
        # What every round trip costs: on a busy machine, most of them wait for a processor besides.
        assert statistics.quantiles(took, n=10)[0] < 0.001, "the whole round trip"

    def test_connections_that_are_reset_disturb_no_others(self, address: tuple[str, int]) -> None:
        with socket.create_connection(address, timeout=10) as polite:
            for _ in range(20):
                rude = [socket.create_connection(address, timeout=10) for _ in range(20)]
                for peer in rude:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    peer.sendall(b"x" * 100_000)
                    peer.close()  # a reset, while data goes both ways
            polite.sendall(b"y")
            assert polite.recv(1) == b"y"

    def test_a_slow_reader_holds_up_no_others(self, address: tuple[str, int]) -> None:
        with socket.create_connection(address, timeout=10) as slow, socket.create_connection(address) as quick:
            slow.setblocking(False)
            with suppress(BlockingIOError):
                while slow.send(b"x" * 100_000):
                    continue
            quick.settimeout(5)
            quick.sendall(b"y")
            assert quick.recv(1) == b"y"


@pytest.mark.parametrize("kind", ["namespaces", "loopback"])
def test_a_published_name_can_be_forwarded_elsewhere_and_withdrawn(kind: str, tmp_path: Path) -> None:
    with living_sandbox(kind, tmp_path, publish=("web",)) as sandbox:
        host = sandbox.add_host("one", 11)
        with pytest.raises(UsageError, match="cannot publish other"):
            sandbox.publish({"other": (host.address, PORT)})
        sandbox.publish({"web": (host.address, PORT)})
        with socket.create_connection(sandbox.published["web"], timeout=5) as refused:
            assert refused.recv(1) == b"", "nobody listens there"
        echo(host, OTHER_PORT)
        sandbox.publish({"web": (host.address, OTHER_PORT)})
        with socket.create_connection(sandbox.published["web"], timeout=5) as answered:
            answered.sendall(b"x")
            assert answered.recv(1) == b"x"
            sandbox.publish({})
            assert answered.recv(1) == b""


def test_a_preferred_port_is_used_where_it_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with relay.bind(["web"], {"web": port})["web"] as elsewhere:
            assert elsewhere.getsockname()[1] != port
    with relay.bind(["web"], {"web": port})["web"] as preferred:
        assert preferred.getsockname() == ("127.0.0.1", port)
