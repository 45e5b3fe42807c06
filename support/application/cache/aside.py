"""Reads through the cache: one load for all who miss at the same time, and never a late fill."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from support.application.cache.codec import decode, encode
from support.application.cache.interface import Read, Source
from support.application.cache.leases import Leases, Unavailable
from support.waiting import pause

Load = Callable[[list[str]], Mapping[str, Any]]
"""Answers some keys from the database, each of them."""

FIRST_POLL, LONGEST_POLL = 0.004, 0.05  # seconds between two looks whether somebody else's load is there


class CacheAside:
    """Answers keys from the cache, and from `load` what is not there. `patience` (seconds) is how long a reader waits
    for somebody else's load before it loads for itself."""

    def __init__(self, leases: Leases, patience: float) -> None:
        self._leases, self._patience = leases, patience

    def read(self, keys: Iterable[str], load: Load) -> dict[str, Read]:
        """One answer for each key. What is cached costs one round trip for all keys together."""
        asked = list(dict.fromkeys(keys))
        reads: dict[str, Read] = {}
        with suppress(Unavailable):
            self._read_through(asked, load, reads)
        rest = [key for key in asked if key not in reads]
        return reads | (_loaded(rest, load) if rest else {})

    def _read_through(self, asked: list[str], load: Load, reads: dict[str, Read]) -> None:
        """Add to `reads` what can be had through the cache. Raises Unavailable when Redis leaves us half-way."""
        token = secrets.token_hex(8)
        give_up, wait = time.monotonic() + self._patience, FIRST_POLL
        while missing := [key for key in asked if key not in reads]:
            looked = self._leases.look(missing, token)
            reads.update(self._hits(looked.found))
            if looked.leased:
                self._load_leased(looked.leased, token, load, reads)
            unreadable = looked.found.keys() - reads.keys()  # dropped by now
            if not (looked.busy or unreadable) or time.monotonic() > give_up:
                return
            pause(wait)
            wait = min(wait * 1.5, LONGEST_POLL)

    def _load_leased(self, keys: list[str], token: str, load: Load, reads: dict[str, Read]) -> None:
        try:
            loaded = _loaded(keys, load)
            values = {key: encode(read.value) for key, read in loaded.items()}
        except BaseException:
            with suppress(Unavailable):
                self._leases.drop(keys)  # whoever waits for us need not wait for the lease to end
            raise
        reads.update(loaded)
        self._leases.fill(values, token)

    def _hits(self, found: Mapping[str, bytes]) -> dict[str, Read]:
        hits: dict[str, Read] = {}
        for key, encoded in found.items():
            try:
                hits[key] = Read(decode(encoded), Source.CACHE)
            except ValueError:  # not of our making: no answer, and in the way of one
                self._leases.drop([key])
        return hits


def _loaded(keys: Sequence[str], load: Load) -> dict[str, Read]:
    values = load(list(keys))
    return {key: Read(values[key], Source.DATABASE) for key in keys}
