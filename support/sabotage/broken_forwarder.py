"""A forwarder with one defect: `python -S broken_forwarder.py HOST:PORT TARGET:PORT`. It runs as a program on a host.

When the target ends a session, the client is not told: neither by the end of its connection nor by PostgreSQL's last
message.
"""

import socket
import sys
import threading
from contextlib import suppress

SHUTDOWN = b"57P01"
"""PostgreSQL's error code in the message by which it ends a session."""


def copy(source: socket.socket, sink: socket.socket, tell: bool) -> None:
    """Copy until the source ends; then the sink is closed, if it is to be told."""
    with suppress(OSError):
        while (data := source.recv(65536)) and (tell or SHUTDOWN not in data):
            sink.sendall(data)
    if tell:
        sink.close()


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main(listen: str, target: str) -> None:
    """Forward every connection."""
    listener = socket.create_server(address(listen), backlog=128)
    while True:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(address(target), 5)
        except OSError:
            client.close()
            continue
        server.settimeout(None)
        threading.Thread(target=copy, args=(client, server, True), daemon=True).start()
        threading.Thread(target=copy, args=(server, client, False), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
