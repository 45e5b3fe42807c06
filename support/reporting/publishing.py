"""Where the metrics of a run go: to a file, for node_exporter's textfile collector, and to a Pushgateway."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from support.reporting.journal import RunRecord
from support.reporting.metrics import exposition
from support.reporting.pushgateway import Pushgateway
from support.settings import Settings
from support.waiting import describe

READABLE = 0o644
"""For everyone: node_exporter is another user."""


class Publisher:
    """Publishes runs where the settings say. To be made before a sandbox is entered, see Pushgateway."""

    def __init__(self, settings: Settings) -> None:
        url = settings.accept_pushgateway
        self._pipeline, self._file = settings.accept_pipeline, settings.accept_metrics
        self._gateway = Pushgateway(url.get_secret_value()) if url else None

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        if self._gateway is not None:
            self._gateway.close()

    def publish(self, record: RunRecord, status: int) -> list[str]:
        """Publish a run that ended with this exit status; what came of it, a line for each place.

        Never raises: metrics that get nowhere change nothing about the run.
        """
        text = exposition(record, status, self._pipeline)
        return [_told(where, partial(send, text)) for where, send in self._places()]

    def _places(self) -> Iterator[tuple[str, Callable[[bytes], None]]]:
        if self._file is not None:
            yield str(self._file), partial(replace, self._file)
        if self._gateway is not None:
            yield str(self._gateway), partial(self._gateway.put, self._pipeline)


def replace(file: Path, text: bytes) -> None:
    """Write a file at once and for everyone to read: whoever reads it sees the old text or the new. Raises OSError."""
    if file.exists() and not file.is_file():
        raise OSError("it is there, and is no file")
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_bytes(text)
        fresh.chmod(READABLE)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def _told(where: str, send: Callable[[], None]) -> str:
    try:
        send()
    except (OSError, EOFError) as error:
        return f"no metrics in {where}: {getattr(error, 'strerror', None) or describe(error)}"
    return f"metrics: {where}"
