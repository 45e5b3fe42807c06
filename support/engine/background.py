"""Work that runs in background threads for the duration of a `with` block."""

import threading
from collections.abc import Callable
from typing import Self


class Background:
    """A context manager. Leaving it ends the work, and raises the first error that occurred."""

    def __init__(self, *work: Callable[[], None]) -> None:
        """Each callable runs in its own thread. It returns by itself, or once `_stopping` is set."""
        self._stopping = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._guarded, args=[each], daemon=True) for each in work]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
