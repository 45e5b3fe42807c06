"""A circuit breaker: after a failure nobody waits for Redis again until a pause has passed; then one caller tries.

Source: M. Nygard, Release It!, "Circuit Breaker".
"""

import threading
import time


class Breaker:
    """Whether it is worth asking. Safe to share between threads; `pause` is in seconds."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._lock = threading.Lock()
        self._next_try: float | None = None

    def admits(self) -> bool:
        """Whether the caller may ask now. While it is open, one caller in each pause may."""
        with self._lock:
            now = time.monotonic()
            if self._next_try is not None and now < self._next_try:
                return False
            if self._next_try is not None:
                self._next_try = now + self._pause
            return True

    def succeeded(self) -> None:
        """It answered: everyone may ask again."""
        with self._lock:
            self._next_try = None

    def failed(self) -> None:
        """It did not answer: nobody is to wait for it for a while."""
        with self._lock:
            self._next_try = time.monotonic() + self._pause
