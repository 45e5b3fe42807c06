"""A program for hosts that sends back what it is sent."""

import sys

from support.hosts import Host
from support.waiting import eventually

ECHO = """
import socket, sys, threading
def serve(peer):
    with peer:
        while data := peer.recv(1 << 16):
            peer.sendall(data)
for port in map(int, sys.argv[2:]):
    listener = socket.create_server((sys.argv[1], port), backlog=512)
    def accept(listener=listener):
        while True:
            threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
    threading.Thread(target=accept).start()
print("ready", flush=True)
"""


def echo(host: Host, *ports: int) -> None:
    """Echo on these ports of a host, as the program "echo"."""
    program = host.add("echo", [sys.executable, "-c", ECHO, host.address, *map(str, ports)])
    program.start()
    eventually(lambda: require_ready(host, 1), within=10, subject="it echoes", pause=0.02)


def require_ready(host: Host, starts: int) -> None:
    assert host.processes["echo"].log.read_text().count("ready") >= starts
