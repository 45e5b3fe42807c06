"""Prometheus' Pushgateway, which keeps the metrics of what has ended until Prometheus fetches them."""

from base64 import urlsafe_b64encode
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from urllib.parse import unquote, urlsplit

import requests
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from support.hosts import kernel
from support.timeouts import REST

JOB = "accept"
ANSWERED = 10 * REST
"""Seconds: the name was looked up, every address of it was tried, the answer has come."""

_Login = tuple[str, str] | None


class Pushgateway:
    """A Pushgateway, reached from wherever this was made.

    In a sandbox of namespaces nobody can be reached but its hosts, and the program lives there once it has booted one.
    So this forks a process which stays outside and sends what it is given. That ends with its parent, or by `close`.
    """

    def __init__(self, url: str) -> None:
        """`url` may hold a login, and the path below which the gateway is."""
        self._where, self._login = _taken_apart(url)
        self._line, its = Pipe()
        kernel.fork(lambda: _stay_outside(its))
        its.close()

    def __str__(self) -> str:
        return self._where

    def put(self, pipeline: str, text: bytes) -> None:
        """Let the gateway hold this of the pipeline, and nothing else. Raises OSError when it does not take it."""
        # In base64 a name may hold what an address may not.
        url = f"{self._where}/metrics/job/{JOB}/pipeline@base64/{urlsafe_b64encode(pipeline.encode()).decode()}"
        self._line.send((url, text, self._login))
        if not self._line.poll(ANSWERED):
            self.close()  # an answer that comes late must not be taken for the next one
            raise TimeoutError("no answer")
        if trouble := self._line.recv():
            raise OSError(trouble)

    def close(self) -> None:
        self._line.close()


def _taken_apart(url: str) -> tuple[str, _Login]:
    """The address that may be shown, and the login that may not."""
    parts = urlsplit(url)
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}", login


def _stay_outside(line: Connection) -> None:
    kernel.stand_alone("accept-courier", keep=[line.fileno()])
    kernel.die_with_parent()
    while True:
        try:
            url, text, login = line.recv()
        except EOFError:
            return
        line.send(_put(url, text, login))


def _put(url: str, text: bytes, login: _Login) -> str:
    """What went wrong; empty when nothing did."""
    headers = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
    try:
        answer = requests.put(url, text, headers=headers, auth=login, timeout=REST)
    except requests.RequestException as error:
        return _cause(error)
    said = " ".join(answer.text.split())[:200]
    return "" if answer.ok else f"it answered {answer.status_code} {answer.reason}: {said}"


def _cause(error: BaseException) -> str:
    """What the system said, without the layers above it."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error)
