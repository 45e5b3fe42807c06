"""Calls from handles to the supervisor: one JSON line each way, over a socket in the sandbox's directory."""

import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support import errors
from support.hosts.state import SOCKET
from support.waiting import describe

ANSWER_WITHIN = 60.0  # seconds; most answers take milliseconds, but starting a host on a busy machine takes longer
REQUEST_WITHIN = 2.0  # seconds that the supervisor waits for a caller that sends no request


def listen(directory: Path) -> socket.socket:
    """The supervisor's socket. Only this user's processes can connect."""
    path = directory / SOCKET
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    os.fchmod(server.fileno(), 0o600)  # Linux gives the file that it makes in bind the mode of the socket
    _at(directory, server.bind)
    server.listen(128)
    return server


def call(directory: Path, procedure: str, **arguments: object) -> Any:
    """Ask the supervisor of the sandbox in `directory`; returns its answer, or raises the AcceptError that it raised.

    Raises NotAvailable when there is no living supervisor.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_WITHIN)
        try:
            _at(directory, line.connect)
            line.sendall(json.dumps([procedure, arguments]).encode() + b"\n")
            answer = json.loads(line.makefile("rb").readline())
        except (OSError, ValueError) as broken:
            raise errors.NotAvailable(f"the sandbox in {directory} is gone ({describe(broken)})") from broken
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return answer["value"]


def serve_one(server: socket.socket, procedures: Mapping[str, Callable[..., object]]) -> None:
    """Answer one call. A caller that dies or stays silent is dropped."""
    line, _ = server.accept()
    with line:
        line.settimeout(REQUEST_WITHIN)
        try:
            procedure, arguments = json.loads(line.makefile("rb").readline())
            line.sendall(json.dumps(_answer(procedures[procedure], arguments)).encode() + b"\n")
        except (OSError, ValueError):
            return


def _answer(procedure: Callable[..., object], arguments: Mapping[str, object]) -> Mapping[str, object]:
    try:
        return {"value": procedure(**arguments)}
    except errors.AcceptError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except Exception as error:  # the supervisor must survive any call: the sandbox dies with it
        return {"error": "ProcessFailed", "message": f"{type(error).__name__}: {describe(error)}"}


def _at(directory: Path, act: Callable[[str], object]) -> None:
    """Act on the socket's path through /proc, as the path of a unix socket may have 107 characters at most."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        act(f"/proc/self/fd/{folder}/{SOCKET}")
    finally:
        os.close(folder)
